"""The options that say how pictures are prepared, shared by the verbs that need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from caffeport.artefacts.recipe import Recipe

_CHOICES = {
    "resize_method": ("opencv", "pycaffe", "pillow"),
    "crops": ("1", "10"),
    "centre": ("down", "up"),
    "order": ("BGR", "RGB"),
    "colour": ("color", "gray", "native"),
    "mirror": ("never", "always"),
}
_OPTIONS = {
    "profile": (
        "NAME|FILE",
        "Preprocessing of a published model (memnet, caffenet, resmem ...) or your own .toml.",
    ),
    "mean": ("FILE", "Mean image (.binaryproto, .npy, .npz, .mat), or 'none'."),
    "mean_values": ("B,G,R", "Mean values instead of an image, in the net's channel order."),
    "resize": ("HxW", "Squash pictures to this size first, or 'none'."),
    "resize_method": ("", "Whose bilinear resize."),
    "crop": ("HxW", "Cut this out of the picture, or 'none'."),
    "crops": ("", "The centre crop, or the ten: corners, centre, and their mirrors."),
    "centre": ("", "How an odd margin is halved: down as pycaffe, up as Caffe's MATLAB demos."),
    "order": ("", "Channel order that the net reads."),
    "colour": ("", "Three channels, one, or as the file has it."),
    "value_range": ("1|255", "What a pixel of 255 counts as before the arithmetic."),
    "raw_scale": ("NUMBER", "Multiplied before the mean (pycaffe's raw_scale)."),
    "scale": ("NUMBER", "Multiplied last (transform_param's scale)."),
    "mirror": ("", "Mirror every picture left to right."),
}


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; their values arrive as keyword arguments for `chosen`."""
    for name, (metavar, text) in reversed(_OPTIONS.items()):
        flag = f"--{name.replace('_', '-')}"
        kind: Any = click.Choice(_CHOICES[name]) if name in _CHOICES else str
        function = click.option(flag, name, type=kind, metavar=metavar or None, help=text)(function)
    function = click.option("--exif/--no-exif", "exif", default=None, help="Turn pictures by their EXIF tag.")(function)
    published = "Take the profile's published channel means where its mean image is not at hand."
    return click.option("--published-mean", is_flag=True, help=published)(function)


def chosen(values: Mapping[str, Any], carried: Recipe | None = None) -> Recipe | None:
    """The recipe that the options ask for, on top of the one that the model carries; None where there is neither.

    A profile replaces what the model carries but for its mean image; single options replace single settings. Raises
    Refused, UnreadableFile.
    """
    names = (*_OPTIONS, "exif")
    flags = {name: values[name] for name in names if name != "profile" and values.get(name) is not None}
    if values.get("profile") is None and not flags and not values.get("published_mean"):
        return carried
    from caffeport.artefacts.recipe import Recipe
    from caffeport.errors import Refused
    from caffeport.transform import load_profile, with_flags

    if values.get("profile") is not None:
        profile = load_profile(values["profile"])
        given = flags.keys() & {"mean", "mean_values"} or values.get("published_mean")
        if profile.mean == "image" and carried is not None and carried.preprocessing.mean is not None and not given:
            flags["mean"] = carried.preprocessing.mean
        prep = profile.preprocessing(**flags, published_mean=bool(values.get("published_mean")))
        return Recipe(prep, tuple(profile.outputs.values()), profile.name)
    if values.get("published_mean"):
        raise Refused("--published-mean", "is given without a profile", "", "add --profile NAME")
    if carried is None:
        return Recipe(with_flags(None, flags))
    return Recipe(with_flags(carried.preprocessing, flags), carried.outputs, carried.profile)

"""`Preprocessing` from a net's transform_param, and from flags (strings, as a command line gives them)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caffeport.errors import Refused, raise_all
from caffeport.transform.mean import MeanImage, load_mean
from caffeport.transform.preprocessing import Crop, Preprocessing, Resize

if TYPE_CHECKING:
    from caffeport.caffe.fields import Fields

FLAGS: Final = (
    "colour", "order", "exif", "resize", "resize_method", "value_range", "raw_scale", "mean", "mean_values", "scale",
    "crop", "crops", "centre", "mirror",
)  # fmt: skip
"""The names that `with_flags` knows; a command line offers each as an option."""


def from_transform_param(
    fields: Fields,
    *,
    phase: str = "TEST",
    folder: str | os.PathLike[str] = ".",
    colour: str = "color",
    resize: Resize | None = None,
) -> Preprocessing:
    """`Preprocessing` of a data layer's transform_param (TransformationParameter).

    Args:
        fields: the transform_param, maybe absent.
        phase: TRAIN crops at random, TEST in the centre; mirror is random in both, as in Caffe.
        folder: where a relative mean_file is looked for (Caffe: the folder it was started in).
        colour, resize: what the layer's own parameters say (ImageData: is_color, new_height, new_width).

    Raises Refused for fields that nobody reads, and for both a mean_file and mean_value.
    """
    size, name = fields.int("crop_size"), fields.str("mean_file", "")
    values = fields.floats("mean_value")
    colour = _forced(fields, colour)
    mirror, scale = fields.bool("mirror"), fields.float("scale")
    raise_all(fields.unread())
    if name and values:
        raise fields.refuse("mean_file", "mean_file and mean_value are both set", "Caffe allows one of them")
    return Preprocessing(
        colour=colour,
        resize=resize,
        mean=load_mean(Path(folder) / name) if name else None,
        mean_values=tuple(values),
        scale=scale,
        crop=Crop(size, size, "random" if phase == "TRAIN" else "centre") if size else None,
        mirror="random" if mirror else "never",
    )


def _forced(fields: Fields, colour: str) -> str:
    """force_color and force_gray, which speak to encoded Datums only ('native' otherwise)."""
    color, gray = fields.bool("force_color"), fields.bool("force_gray")
    if color and gray:
        raise fields.refuse("force_gray", "force_color and force_gray are both set", "Caffe allows one of them")
    if colour != "native":
        return colour
    return "color" if color else "gray" if gray else "native"


def with_flags(base: Preprocessing | None = None, flags: Mapping[str, Any] | None = None, **more: Any) -> Preprocessing:
    """`base` (or Caffe's defaults) with some settings replaced; None leaves a setting as it is.

    ``resize`` and ``crop`` are '256', '256x227' (height x width), or 'none'; ``crops`` 1 or 10; ``mean`` a path, an
    array, a `MeanImage` or 'none'; ``mean_values`` '104,117,123'; the rest as `Preprocessing` names them.
    Raises Refused for an unknown flag or value.
    """
    prep = base or Preprocessing()
    given = {name: value for name, value in {**(flags or {}), **more}.items() if value is not None}
    for name in given:
        if name not in FLAGS:
            raise Refused("flags", f"unknown flag {name!r}", f"known are {', '.join(FLAGS)}")
    changes: dict[str, Any] = {name: given[name] for name in ("colour", "order", "exif", "mirror") if name in given}
    for name in ("value_range", "raw_scale", "scale"):
        if name in given:
            changes[name] = _number(name, given[name])
    changes |= _mean_changes(given) | _resize_changes(prep, given)
    return replace(prep, **changes, **_crop_changes(prep, given))


def _mean_changes(given: Mapping[str, Any]) -> dict[str, Any]:
    """A mean image and mean values replace each other."""
    if "mean" in given and "mean_values" in given:
        raise Refused("--mean", "is given beside --mean-values", "one of them")
    if "mean_values" in given:
        values = given["mean_values"]
        parts = values.split(",") if isinstance(values, str) else values
        return {"mean": None, "mean_values": tuple(_number("mean_values", part) for part in parts)}
    if "mean" not in given:
        return {}
    return {"mean": as_mean(given["mean"]), "mean_values": ()}


def as_mean(mean: Any) -> MeanImage | None:
    """A mean image from a path, an array (C, H, W), or itself; 'none' for none."""
    if isinstance(mean, MeanImage):
        return mean
    if mean is None or (isinstance(mean, str) and mean == "none"):
        return None
    return load_mean(mean) if isinstance(mean, (str, os.PathLike)) else MeanImage(mean)


def _resize_changes(prep: Preprocessing, given: Mapping[str, Any]) -> dict[str, Any]:
    size = _two("resize", given["resize"]) if "resize" in given else None
    if "resize" in given and size is None:
        return {"resize": None}
    old = prep.resize
    method = given.get("resize_method", old.method if old else "opencv")
    if size is not None:
        return {"resize": Resize(*size, method)}
    if "resize_method" in given:
        if old is None:
            raise Refused("--resize-method", "is given without a resize", todo="give --resize, as 256x256")
        return {"resize": replace(old, method=method)}
    return {}


def _crop_changes(prep: Preprocessing, given: Mapping[str, Any]) -> dict[str, Any]:
    size = _two("crop", given["crop"]) if "crop" in given else None
    if "crop" in given and size is None:
        return {"crop": None}
    crop = prep.crop
    if size is not None:
        crop = replace(crop, height=size[0], width=size[1]) if crop else Crop(*size)
    if "crops" in given or "centre" in given:
        if crop is None:
            given_one = "--crops" if "crops" in given else "--centre"
            raise Refused(given_one, "is given without a crop", todo="give --crop, as 227x227")
        count = str(given.get("crops", "")) or {"ten": "10"}.get(crop.mode, "")
        if count not in ("", "1", "10"):
            raise Refused("--crops", f"is {count}", "1 (centre) or 10 (corners, centre, mirrored)")
        mode = {"1": "centre", "10": "ten", "": crop.mode}[count]
        crop = replace(crop, mode=mode, centre=given.get("centre", crop.centre))
    return {} if crop == prep.crop else {"crop": crop}


def _two(name: str, value: Any) -> tuple[int, int] | None:
    """'256' or '256x227' (height x width) as two numbers; None for 'none'."""
    if value == "none":
        return None
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return int(value[0]), int(value[1])
    found = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", str(value))
    if not found:
        raise Refused(_flag(name), f"is {value!r}", "256, 256x227 (height x width) or none")
    return int(found[1]), int(found[2] or found[1])


def _flag(name: str) -> str:
    """A setting as the command line writes it."""
    return f"--{name.replace('_', '-')}"


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Refused(_flag(name), f"is {value!r}", "a number is needed") from None

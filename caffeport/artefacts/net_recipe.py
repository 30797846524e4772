"""The preprocessing that a training net states in its own data layer, for nets that come with nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from caffeport.artefacts.recipe import Recipe
from caffeport.caffe.fields import Fields
from caffeport.caffe.net import read_net
from caffeport.transform.build import from_transform_param, with_flags
from caffeport.transform.preprocessing import Resize

if TYPE_CHECKING:
    from caffeport.caffe.net import LayerDef

TYPES: Final = ("Data", "ImageData")


class Found(NamedTuple):
    """A recipe, and what there is to say about it."""

    recipe: Recipe | None
    note: str = ""


def recipe_of_net(path: str | os.PathLike[str], blob: str, channels: int, mean_given: bool = False) -> Found:
    """What the data layer that makes `blob` says, in the TEST phase or else in TRAIN.

    Args:
        path: the net, text or binary.
        blob, channels: the deploy net's input, and its channels: one means grey pictures.
        mean_given: the user brings a mean of his own, so that the net's mean_file need not be there.

    The recipe is None where the net has no such layer, or where its mean_file is not at hand: a note says so then.
    Raises UnreadableFile, Refused for settings that cannot be read.
    """
    layer = next(_layers(path, blob), None)
    if layer is None:
        return Found(None)
    part = layer.fields().sub("transform_param")
    name, message = part.str("mean_file", ""), part.message
    mean = _mean_file(name, Path(path).parent) if name else None
    if name and mean is None and not mean_given:
        what = f"{layer.label}: mean_file {name!r} is not at hand"
        return Found(None, f"{what}: no preprocessing is stored; give the file by --mean")
    rest = None if message is None else message.without("mean_file")
    colour = {1: "gray", 3: "color"}.get(channels, "native")
    fields = Fields(rest, "TransformationParameter", part.label)
    prep = from_transform_param(fields, colour=colour, resize=_resize(layer)).still()
    if mean is not None and not mean_given:
        prep = with_flags(prep, mean=mean)
    open_size = prep.resize is None and prep.crop is not None
    about = f"{layer.label}: its preprocessing is stored with the model"
    asked = "; it does not say to which size pictures were brought before the crop: give --resize"
    return Found(Recipe(prep), about + (asked if open_size else ""))


def _layers(path: str | os.PathLike[str], blob: str) -> Iterator[LayerDef]:
    """The data layers that make the blob, those of TEST first."""
    for phase in ("TEST", "TRAIN"):
        for layer in read_net(path, phase):
            if layer.type in TYPES and blob in layer.tops:
                yield layer


def _mean_file(name: str, folder: Path) -> str | None:
    """The mean file as the net names it (Caffe: from where it was started), or by its name beside the net."""
    for place in (Path(name), folder / name, folder / Path(name).name):
        if place.is_file():
            return str(place)
    return None


def _resize(layer: LayerDef) -> Resize | None:
    own = layer.fields().sub("image_data_param")
    height, width = own.int("new_height"), own.int("new_width")
    return Resize(height, width) if layer.type == "ImageData" and height > 0 and width > 0 else None

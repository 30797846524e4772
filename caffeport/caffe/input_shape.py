"""The shape of an input that a net does not state: from its data layer, the mean file, or the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from caffeport.caffe.net import LayerDef
from caffeport.caffe.sides import fan_in, fan_in_sides
from caffeport.caffe.weights import Weights, read_mean
from caffeport.errors import CaffeportError, Refused

Shape = tuple[int, ...]

_PARAMS: Final = {
    "Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param",
    "HDF5Data": "hdf5_data_param", "MemoryData": "memory_data_param", "DenseImageData": "dense_image_data_param",
}  # fmt: skip
_COLOUR: Final = frozenset({"ImageData", "WindowData", "DenseImageData"})
_USUAL_SIDES: Final = (224, 227, 32, 28, 64, 48, 24, 12, 96, 112, 128, 256, 299, 300, 320, 321, 512, 100, 160, 192)
"""Sizes that published nets were trained at, the most common first."""


def find_shape(
    blob: str, layer: LayerDef | None, body: Sequence[LayerDef], weights: Weights | None, file: str
) -> tuple[Shape, str]:
    """The shape (1, C, H, W) of a blob that `layer` brings in and `body` reads, and what told its size.

    Sides come from the data layer (crop_size, new_height and new_width, MemoryData's own), else from the mean file if
    it lies beside the net, else from the first InnerProduct: the sides that give it as many values as its weights have
    columns. Channels come from the weights first, then from the data layer and the mean. Raises Refused.
    """
    sides: Shape | None = None
    channels, told_by = None, "its data layer says so"
    if layer is not None and layer.type in ("MemoryData", "DummyData"):
        return _stated(layer), told_by
    if layer is not None:
        sides, channels = _from_layer(layer)
        mean = _mean_shape(layer, file)
        if mean is not None:
            told_by = told_by if sides else "as the mean file has it"
            sides, channels = sides or mean[1:], channels or mean[0]
    columns = _from_inner_product(blob, body, weights)
    if columns and (sides is None or channels is None):
        return (1, columns), "as the weights of its InnerProduct want it"
    channels = _from_weights(blob, body, weights) or channels
    if sides is None and channels is not None and weights is not None:
        told_by = "the usual size that fits the weights"
        sides = _usual(blob, channels, fan_in_sides(blob, channels, body, weights), file)
    if sides is None or channels is None:
        missing = "number of channels" if sides else "size" if channels else "shape"
        raise Refused(
            layer.label if layer else file,
            f"the {missing} of input {blob!r} is nowhere stated",
            "crop_size, new_height and new_width, a mean file beside the net, or weights with an InnerProduct tell it",
            f"give it: --input-shape {blob}=1,{channels or 'C'},{'{},{}'.format(*sides) if sides else 'HEIGHT,WIDTH'}",
        )
    return (1, channels, *sides), told_by


def _stated(layer: LayerDef) -> Shape:
    """MemoryData and DummyData state all of the shape; the batch becomes 1."""
    name = "memory_data_param" if layer.type == "MemoryData" else "dummy_data_param"
    param = layer.fields().sub(name)
    if layer.type == "DummyData" and param.subs("shape"):
        return (1, *param.subs("shape")[0].ints("dim")[1:])
    if layer.type == "DummyData":
        return (1, *(param.ints(side)[0] for side in ("channels", "height", "width")))
    return (1, *(param.int(side) for side in ("channels", "height", "width")))


def _from_layer(layer: LayerDef) -> tuple[tuple[int, int] | None, int | None]:
    """Sides and channels as far as the data layer's own settings tell them."""
    fields = layer.fields()
    transform, own = fields.sub("transform_param"), fields.sub(_PARAMS.get(layer.type, "data_param"))
    channels = None
    if layer.type in _COLOUR:
        channels = 3 if own.bool("is_color", True) else 1
    elif transform.bool("force_gray", False) or transform.bool("force_color", False):
        channels = 1 if transform.bool("force_gray", False) else 3
    elif transform.count("mean_value") > 1:
        channels = transform.count("mean_value")
    crop = transform.int("crop_size", 0) or own.int("crop_size", 0)
    if crop:
        return (crop, crop), channels
    height, width = own.int("new_height", 0), own.int("new_width", 0)
    for resize in transform.subs("resize_param"):  # the SSD fork's
        height, width = resize.int("height", height), resize.int("width", width)
    return ((height, width) if height and width else None), channels


def _mean_shape(layer: LayerDef, file: str) -> Shape | None:
    """The mean file's shape, if a file of its name lies beside the net; the path in the net is another machine's."""
    name = layer.fields().sub("transform_param").str("mean_file", "")
    beside = Path(file).parent / Path(name).name
    if not name or not beside.is_file():
        return None
    try:
        return read_mean(beside).shape
    except CaffeportError as error:
        raise Refused(layer.label, f"mean_file {name!r} lies beside the net and cannot be read", str(error)) from None


def _from_weights(blob: str, body: Sequence[LayerDef], weights: Weights | None) -> int | None:
    """The channels that the first convolution of the blob wants."""
    same = {blob}
    if weights is None:
        return None
    for layer in body:
        if not same.intersection(layer.bottoms):
            continue
        if layer.type == "Convolution":
            blobs = weights.get(layer.name, ())
            if not blobs or len(blobs[0].shape) < 2:
                return None
            return blobs[0].shape[1] * layer.fields().sub("convolution_param").int("group", 1)
        if layer.type not in ("Concat", "Slice", "InnerProduct", "Deconvolution", "Reshape", "Flatten", "Crop"):
            same.update(layer.tops)
    return None


def _from_inner_product(blob: str, body: Sequence[LayerDef], weights: Weights | None) -> int:
    """How many values an InnerProduct that reads the blob itself wants; 0 where none does."""
    readers = (layer for layer in body if layer.type == "InnerProduct" and blob in layer.bottoms)
    return max((fan_in(layer, weights) for layer in readers), default=0) if weights is not None else 0


def _usual(blob: str, channels: int, found: Sequence[tuple[int, bool]], file: str) -> Shape | None:
    """One side out of those that fit: a usual one, of several such one that every window divides exactly."""
    exact = {side for side, divides in found if divides}
    fitting = {side for side, _ in found}
    usual = [side for side in _USUAL_SIDES if side in exact] or [side for side in _USUAL_SIDES if side in fitting]
    if usual or len(found) == 1:
        side = usual[0] if usual else found[0][0]
        return side, side
    if not found:
        return None
    raise Refused(
        file,
        f"the size of input {blob!r} is nowhere stated, and more than one fits the weights",
        f"sides {', '.join(str(side) for side, _ in found[:12])} do",
        f"give it: --input-shape {blob}=1,{channels},HEIGHT,WIDTH",
    )

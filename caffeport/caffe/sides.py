"""Which side lengths of a square input give a net's first InnerProduct the values that its weights want.

A small walk along convolutions and poolings, for nets that nobody left a size of; shapes in earnest are the graph's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from caffeport.caffe.fields import Fields
from caffeport.caffe.net import LayerDef
from caffeport.caffe.weights import Weights

MAX_SIDE: Final = 1024

_SAME_SHAPE: Final = frozenset({
    "ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "BNLL", "AbsVal", "Power", "Exp", "Log", "LRN", "MVN", "Dropout",
    "Scale", "Bias", "BatchNorm", "BN", "Split", "Eltwise", "Softmax", "Threshold", "Swish", "Clip", "ReLU6",
})  # fmt: skip
Map = tuple[int, int]
"""Channels and side of a square feature map."""


def fan_in_sides(blob: str, channels: int, body: Sequence[LayerDef], weights: Weights) -> list[tuple[int, bool]]:
    """Every side that fits, and whether each window along the way divides its input without a rest."""
    steps = _steps(body)
    found = []
    for side in range(1, MAX_SIDE + 1):
        fits, exact = _walk(blob, (channels, side), steps, weights)
        if fits:
            found.append((side, exact))
    return found


class _Step:
    """One layer as the walk needs it."""

    __slots__ = ("kernel", "layer", "outputs", "pad", "span", "stride", "whole")

    def __init__(self, layer: LayerDef) -> None:
        self.layer = layer
        self.kernel = self.stride = self.span = 1
        self.pad = self.outputs = 0
        self.whole = False
        fields = layer.fields()
        if layer.type == "Convolution":
            param = fields.sub("convolution_param")
            self.outputs = param.int("num_output")
            self.kernel, self.stride, self.pad = _window(param, repeated=True)
            dilation = param.ints("dilation")
            self.span = (dilation[0] if dilation else 1) * (self.kernel - 1) + 1
        elif layer.type == "Pooling":
            param = fields.sub("pooling_param")
            self.whole = param.bool("global_pooling", False)
            if not self.whole:
                self.kernel, self.stride, self.pad = _window(param, repeated=False)
                self.span = self.kernel


def _window(param: Fields, repeated: bool) -> tuple[int, int, int]:
    """Kernel, stride and pad along the height; a net with an InnerProduct rarely has others along the width."""

    def read(name: str, short: str, default: int) -> int:
        if param.has(f"{short}_h"):
            return param.int(f"{short}_h")
        values = param.ints(name) if repeated else ((param.int(name),) if param.has(name) else ())
        return values[0] if values else default

    return read("kernel_size", "kernel", 1), max(1, read("stride", "stride", 1)), read("pad", "pad", 0)


def _steps(body: Sequence[LayerDef]) -> list[_Step]:
    """The layers up to the first InnerProduct."""
    steps = []
    for layer in body:
        steps.append(_Step(layer))
        if layer.type == "InnerProduct":
            break
    return steps


def _walk(blob: str, start: Map, steps: Sequence[_Step], weights: Weights) -> tuple[bool, bool]:
    """Whether the InnerProduct at the end gets what it wants, and whether all windows divided exactly."""
    maps: dict[str, Map] = {blob: start}
    exact = True
    for step in steps:
        layer = step.layer
        if layer.type == "InnerProduct":
            columns = fan_in(layer, weights)
            channels, side = maps.get(layer.bottoms[0], (0, 0))
            return columns > 0 and channels * side * side == columns, exact
        result = _through(step, maps)
        if result is not None:
            (channels, side), divides = result
            if side < 1:
                return False, exact
            exact &= divides
            maps.update((top, (channels, side)) for top in layer.tops)
    return False, exact


def _through(step: _Step, maps: Mapping[str, Map]) -> tuple[Map, bool] | None:
    """The map behind a layer; None where the walk does not know."""
    layer = step.layer
    found = [maps[bottom] for bottom in layer.bottoms if bottom in maps]
    if not found or len(found) != len(layer.bottoms):
        return None
    channels, side = found[0]
    if layer.type == "Convolution":
        room = side + 2 * step.pad - step.span
        return (step.outputs, room // step.stride + 1), room % step.stride == 0
    if layer.type == "Pooling":
        if step.whole:
            return (channels, 1), True
        room = side + 2 * step.pad - step.kernel
        out = -(-room // step.stride) + 1
        if step.pad and (out - 1) * step.stride >= side + step.pad:
            out -= 1
        return (channels, out if room >= 0 else 0), room % step.stride == 0
    if layer.type == "Concat" and all(inside[1] == side for inside in found):
        return (sum(inside[0] for inside in found), side), True
    return ((channels, side), True) if layer.type in _SAME_SHAPE else None


def fan_in(layer: LayerDef, weights: Weights) -> int:
    """How many values the InnerProduct's weights want; 0 where that cannot be told."""
    blobs = weights.get(layer.name, ())
    if not blobs or len(blobs[0].shape) < 2 or layer.fields().sub("inner_product_param").bool("transpose", False):
        return 0
    return blobs[0].shape[-1]

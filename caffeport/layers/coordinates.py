"""Where a place of one blob lies in another further up the net, from the windows between them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from caffeport.layers.base import Layer, Shapes
from caffeport.layers.convolution import Convolution
from caffeport.layers.deconvolution import Deconvolution
from caffeport.layers.pooling import Pooling
from caffeport.layers.windows import Window

#: Layers that leave every number at its place in height and width.
_IN_PLACE = frozenset(
    {"AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Concat", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log", "PReLU"}
    | {"Power", "ReLU", "Scale", "Sigmoid", "Slice", "Softmax", "Split", "Swish", "TanH", "Threshold"}
)


def overlay(path: Sequence[tuple[Layer, Shapes]]) -> tuple[int, ...]:
    """Rows and columns of the last blob of a path that lie before place 0 of its first; () where that is undefined.

    Args:
        path: layers with their bottoms' shapes, from the last one back to the first.
    """
    found = [_along(path, axis) for axis in (0, 1)]
    starts = [shift for scale, shift in found if scale == 1 and shift >= 0 and shift.denominator == 1]
    return tuple(int(start) for start in starts) if len(starts) == 2 else ()


def _along(path: Sequence[tuple[Layer, Shapes]], axis: int) -> tuple[Fraction, Fraction]:
    """Scale and shift from a place on the first blob to one on the last; scale 0 where a layer has no such map."""
    scale, shift = Fraction(1), Fraction(0)
    for layer, shapes in path:
        if layer.type in _IN_PLACE:
            continue
        if not isinstance(layer, Convolution | Deconvolution | Pooling) or len(shapes[0]) != 4:
            return Fraction(0), shift
        step, start = _window(layer.window.over(2), axis)
        if isinstance(layer, Deconvolution):
            scale, shift = scale * step, scale * start + shift
        else:
            scale, shift = scale / step, shift - scale * start / step
    return scale, shift


def _window(window: Window, axis: int) -> tuple[int, Fraction]:
    """Where the middle of a window lies: stride * place + start."""
    reach = (window.kernel[axis] - 1) * window.dilation[axis]
    return window.stride[axis], Fraction(reach, 2) - window.pad[axis]

"""OpenCV's and Pillow's bilinear resize of bytes as ONNX nodes, in their own integer arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from caffeport.graph.names import Unused

_OPENCV_ONE: Final = 2048
"""OpenCV's coefficients have 11 bits (INTER_RESIZE_COEF_BITS)."""

_PILLOW_ONE: Final = 1 << 22
"""Pillow's have 22 (PRECISION_BITS)."""


class Nodes:
    """Collects nodes and constants under names that the model does not use."""

    def __init__(self, taken: set[str]) -> None:
        self.unused, self.nodes = Unused(taken, ".{}".format), list[onnx.NodeProto]()
        self.constants: dict[bytes, onnx.TensorProto] = {}

    def fresh(self, stem: str) -> str:
        """A name that nothing has yet."""
        return self.unused.take(stem)

    def op(self, op_type: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """One node with one output, whose name is returned."""
        made = to or self.fresh(f"preprocess/{op_type}")
        self.nodes.append(helper.make_node(op_type, list(inputs), [made], name=made, **attributes))
        return made

    def cast(self, value: str, kind: int) -> str:
        """A value as another type (TensorProto's number)."""
        made = self.fresh("preprocess/Cast")
        self.nodes.append(helper.make_node("Cast", [value], [made], name=made, to=kind))
        return made

    def const(self, value: Any, dtype: Any) -> str:
        """A constant; equal ones are stored once."""
        tensor = numpy_helper.from_array(np.asarray(value, dtype))
        key = tensor.SerializeToString()
        if key not in self.constants:
            tensor.name = self.fresh("preprocess/constant")
            self.constants[key] = tensor
        return self.constants[key].name

    def ints(self, *values: int) -> str:
        """A vector of int64."""
        return self.const(values, np.int64)

    def slice(self, value: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int]) -> str:
        """Slice by constant bounds."""
        return self.op("Slice", value, self.ints(*starts), self.ints(*ends), self.ints(*axes))


def resize_opencv(nodes: Nodes, picture: str, size: tuple[int, int], axes: tuple[int, int]) -> str:
    """cv::resize with INTER_LINEAR on uint8, as its vectorised vertical pass rounds (modules/imgproc/src/resize.cpp).

    Rows and columns are the given axes of the picture; the result is int32 of 0..255.
    """
    (rows, columns), (down, along) = size, axes
    first, low, high = _taps(nodes, picture, rows, down, len_axes=max(axes) + 1, clamp=False)
    left, near, far = _taps(nodes, picture, columns, along, len_axes=max(axes) + 1, clamp=True)
    pieces = []
    for row, weight in ((first[0], low), (first[1], high)):
        line = nodes.op("Gather", picture, row, axis=down)
        taps = [nodes.cast(nodes.op("Gather", line, column, axis=along), TensorProto.INT32) for column in left]
        across = nodes.op("Add", nodes.op("Mul", taps[0], near), nodes.op("Mul", taps[1], far))
        # (((S >> 4) * beta) >> 16): the halves are cut off one by one, which differs from one exact sum.
        cut = nodes.op("Div", across, nodes.const(16, np.int32))
        pieces.append(nodes.op("Div", nodes.op("Mul", cut, weight), nodes.const(1 << 16, np.int32)))
    total = nodes.op("Add", nodes.op("Add", *pieces), nodes.const(2, np.int32))
    return nodes.op("Div", total, nodes.const(4, np.int32))


def _taps(
    nodes: Nodes, picture: str, target: int, axis: int, *, len_axes: int, clamp: bool
) -> tuple[tuple[str, str], str, str]:
    """The two source places of each target place, clipped to the picture, and their integer coefficients.

    `clamp` sets the coefficients beyond the border to (1, 0), which OpenCV does along rows and not down columns.
    """
    length = nodes.op("Gather", nodes.op("Shape", picture), nodes.ints(axis), axis=0)
    # OpenCV divides twice: scale = 1 / (target / length), in double; the place itself is then rounded to float.
    ratio = nodes.op("Div", nodes.const(target, np.float64), nodes.cast(length, TensorProto.DOUBLE))
    scale = nodes.op("Div", nodes.const(1, np.float64), ratio)
    middles = nodes.const(np.arange(target) + 0.5, np.float64)
    exact = nodes.op("Sub", nodes.op("Mul", middles, scale), nodes.const(0.5, np.float64))
    at = nodes.cast(exact, TensorProto.FLOAT)
    floor = nodes.op("Floor", at)
    part = nodes.op("Sub", at, floor)
    place, last = nodes.cast(floor, TensorProto.INT64), nodes.op("Sub", length, nodes.ints(1))
    if clamp:
        inside = nodes.op("And", nodes.op("GreaterOrEqual", place, nodes.ints(0)), nodes.op("Less", place, last))
        part = nodes.op("Where", inside, part, nodes.const(0, np.float32))
    next_place = nodes.op("Add", place, nodes.ints(1))
    places = tuple(nodes.op("Min", nodes.op("Max", one, nodes.ints(0)), last) for one in (place, next_place))
    shape = nodes.ints(*(target if one == axis else 1 for one in range(axis, len_axes)), *_channels(axis, len_axes))
    weights = [
        nodes.op("Reshape", _coefficient(nodes, weight), shape)
        for weight in (nodes.op("Sub", nodes.const(1, np.float32), part), part)
    ]
    return (places[0], places[1]), weights[0], weights[1]


def _channels(axis: int, len_axes: int) -> tuple[int, ...]:
    """Rows x columns are followed by the channels where the picture is HxWxC."""
    return (1,) if len_axes == 2 else ()


def _coefficient(nodes: Nodes, weight: str) -> str:
    """A float coefficient in 11 bits, rounded half to even as saturate_cast does."""
    scaled = nodes.op("Mul", weight, nodes.const(_OPENCV_ONE, np.float32))
    return nodes.cast(nodes.op("Round", scaled), TensorProto.INT32)


def resize_pillow(nodes: Nodes, picture: str, size: tuple[int, int], axes: tuple[int, int]) -> str:
    """Pillow's Image.resize with BILINEAR on bytes (libImaging/Resample.c): along the rows, then down the columns.

    Each pass is a product with a matrix of 22-bit coefficients, exact in double precision, rounded to bytes.
    """
    planes = nodes.cast(picture, TensorProto.DOUBLE)
    if max(axes) == 1:
        planes = nodes.op("Transpose", planes, perm=[2, 0, 1])
    across = _filter(nodes, picture, size[1], axes[1])
    planes = _rounded(nodes, nodes.op("MatMul", planes, nodes.op("Transpose", across, perm=[1, 0])))
    planes = _rounded(nodes, nodes.op("MatMul", _filter(nodes, picture, size[0], axes[0]), planes))
    if max(axes) == 1:
        planes = nodes.op("Transpose", planes, perm=[1, 2, 0])
    return planes


def _filter(nodes: Nodes, picture: str, target: int, axis: int) -> str:
    """The (target, length) matrix of integer coefficients, as doubles."""
    length = nodes.op("Gather", nodes.op("Shape", picture), nodes.ints(axis), axis=0)
    scale = nodes.op("Div", nodes.cast(length, TensorProto.DOUBLE), nodes.const(target, np.float64))
    inverse = nodes.op("Div", nodes.const(1, np.float64), nodes.op("Max", scale, nodes.const([1], np.float64)))
    centres = nodes.op("Mul", nodes.const((np.arange(target) + 0.5)[:, None], np.float64), scale)
    count = nodes.op("Squeeze", length, nodes.ints(0))
    places = nodes.op("Range", nodes.const(0, np.int64), count, nodes.const(1, np.int64))
    offset = nodes.op("Sub", nodes.cast(places, TensorProto.DOUBLE), centres)
    offset = nodes.op("Add", offset, nodes.const(0.5, np.float64))
    away = nodes.op("Abs", nodes.op("Mul", offset, inverse))
    tent = nodes.op("Max", nodes.op("Sub", nodes.const(1, np.float64), away), nodes.const(0, np.float64))
    share = nodes.op("Div", tent, nodes.op("ReduceSum", tent, nodes.ints(1), keepdims=1))
    scaled = nodes.op("Mul", share, nodes.const(_PILLOW_ONE, np.float64))
    return nodes.op("Floor", nodes.op("Add", scaled, nodes.const(0.5, np.float64)))


def _rounded(nodes: Nodes, sums: str) -> str:
    """From sums of 22 bits back to bytes, half up (no sum leaves 0..255: the coefficients are positive)."""
    halves = nodes.op("Add", sums, nodes.const(_PILLOW_ONE // 2, np.float64))
    whole = nodes.op("Floor", nodes.op("Mul", halves, nodes.const(1 / _PILLOW_ONE, np.float64)))
    return nodes.op("Min", whole, nodes.const(255, np.float64))

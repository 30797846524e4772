"""Regions (picture, x1, y1, x2, y2) over a feature map, for the layers that pool them."""

from __future__ import annotations

from caffeport.layers.base import Misfit, Onnx, Shapes
from caffeport.layers.nodes import FLOAT, piece, sides
from caffeport.layers.shapes import count, show


def check_regions(bottoms: Shapes) -> None:
    """Refuse bottoms that are no feature map with regions."""
    if len(bottoms[0]) != 4 or not bottoms[1] or count(bottoms[1], 1) != 5:
        found = f"bottoms are {show(bottoms[0])} and {show(bottoms[1])}"
        raise Misfit(found, "N x C x H x W, and regions of 5 numbers")


def pictures_of(g: Onnx, rois: str) -> str:
    """Which picture of the batch each region lies in: R x N, 0 or 1."""
    n = g.op("Squeeze", [sides(g, g.bottoms[0], 0, 1)])
    numbers = g.op("Cast", [g.op("Range", [g.ints(0), n, g.ints(1)])], to=FLOAT)
    return g.op("Cast", [g.op("Equal", [piece(g, rois, 0, 1, 1), numbers])], to=FLOAT)


def cells(g: Onnx, rois: str, axis: int, group: int, scale: float) -> str:
    """Which columns (axis 0) or rows (1) belong to each of the `group` cells of a region: R x group x side, 0 or 1.

    As R-FCN cuts them: corners are rounded in the picture, cells overlap by the columns that both touch.
    """
    side, factor = g.shapes[0][3 - axis], g.floats(scale)
    start, end = (_rounded(g, piece(g, rois, k, k + 1, 1)) for k in (1 + axis, 3 + axis))
    start = g.op("Mul", [start, factor])
    end = g.op("Mul", [g.op("Add", [end, g.floats(1.0)]), factor])
    size = g.op("Div", [g.op("Max", [g.op("Sub", [end, start]), g.floats(0.1)]), g.floats(float(group))])
    numbers = [[float(cell) for cell in range(first, group + first)] for first in (0, 1)]
    first = g.op("Floor", [g.op("Add", [g.op("Mul", [size, g.floats(numbers[0])]), start])])
    last = g.op("Ceil", [g.op("Add", [g.op("Mul", [size, g.floats(numbers[1])]), start])])
    steps = g.floats([float(step) for step in range(side)])
    first, last = (g.op("Unsqueeze", [edge, g.ints([2])]) for edge in (first, last))
    inside = g.op("And", [g.op("GreaterOrEqual", [steps, first]), g.op("Less", [steps, last])])
    return g.op("Cast", [inside], to=FLOAT)


def _rounded(g: Onnx, x: str) -> str:
    """C's round, which takes halves away from zero."""
    size = g.op("Floor", [g.op("Add", [g.op("Abs", [x]), g.floats(0.5)])])
    return g.op("Mul", [g.op("Sign", [x]), size])

"""The `axis` and `num_axes` of Scale and Bias: which axes of the bottom the smaller blob lies along."""

from __future__ import annotations

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Misfit, Shape, Shapes
from caffeport.layers.shapes import axis_of, show


def read_span(p: Fields) -> tuple[int, int]:
    """`axis` and `num_axes` (-1: all from the axis on)."""
    num_axes = p.int("num_axes")
    if num_axes < -1:
        raise p.refuse("num_axes", f"is {num_axes}", "-1 or more is possible")
    return p.int("axis"), num_axes


def spanned(axis: int, num_axes: int, bottoms: Shapes) -> Shape:
    """The smaller blob's shape: the second bottom's, or the sides of the first that the span covers."""
    if len(bottoms) == 2:
        start = 0 if bottoms[1] == () else axis_of(axis, len(bottoms[0]))
        if bottoms[0][start : start + len(bottoms[1])] != bottoms[1]:
            raise Misfit(
                f"bottom 1 is {show(bottoms[1])}, bottom 0 is {show(bottoms[0])}",
                f"bottom 1 must equal the sides of bottom 0 from axis {start} on",
            )
        return bottoms[1]
    start = axis_of(axis, len(bottoms[0]))
    end = len(bottoms[0]) if num_axes == -1 else start + num_axes
    if end > len(bottoms[0]):
        raise Misfit(f"axis {start} and num_axes {num_axes} reach past a bottom of {len(bottoms[0])} axes")
    return bottoms[0][start:end]


def broadcast(axis: int, shape: Shape, bottoms: Shapes) -> Shape:
    """The smaller blob's shape with ones behind it, so that it lines up with the bottom from `axis` on.

    A second bottom that covers the batch axis keeps -1 there: the batch stays free.
    """
    if not shape:
        return ()
    start = axis_of(axis, len(bottoms[0]))
    behind = len(bottoms[0]) - start - len(shape)
    lead = (-1, *shape[1:]) if start == 0 and len(bottoms) == 2 else shape
    return (*lead, *(1,) * behind)

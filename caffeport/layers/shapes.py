"""Arithmetic on shapes that several layer types share."""

from __future__ import annotations

from math import prod

from caffeport.layers.base import Misfit, Shape, Shapes


def axis_of(axis: int, ndim: int, what: str = "axis", end: bool = False) -> int:
    """Caffe's CanonicalAxisIndex: negative axes count from the end; `end` also allows one past the last."""
    last = ndim + 1 if end else ndim
    if not -last <= axis < last:
        raise Misfit(f"{what} is {axis} on a bottom of {ndim} axes", f"{-last} to {last - 1} are possible")
    return axis + last if axis < 0 else axis


def count(shape: Shape, start: int = 0, end: int | None = None) -> int:
    """Product of the sides from `start` to before `end`; 1 where there are none."""
    return prod(shape[start:end])


def same_shapes(bottoms: Shapes) -> None:
    """Refuse bottoms of different shapes."""
    for number, shape in enumerate(bottoms[1:], 1):
        if shape != bottoms[0]:
            raise Misfit(f"bottom {number} is {show(shape)}, bottom 0 is {show(bottoms[0])}", "Caffe wants them equal")


def four_axes(bottoms: Shapes) -> None:
    """Refuse bottoms that are no batches of pictures."""
    for number, shape in enumerate(bottoms):
        if len(shape) != 4:
            raise Misfit(f"bottom {number} is {show(shape)}", "four axes are wanted here (N x C x H x W)")


def show(shape: Shape) -> str:
    """A shape as people write it: ``96x3x11x11``, or ``scalar``."""
    return "x".join(map(str, shape)) if shape else "scalar"

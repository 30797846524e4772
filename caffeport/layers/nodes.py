"""ONNX nodes that many layer types need: arithmetic with constants, cuts, and shapes that follow the batch."""

from __future__ import annotations

from collections.abc import Sequence

from caffeport.layers.base import Onnx

#: Element types as ONNX counts them, for Cast.
FLOAT, INT64, BOOL = 1, 7, 9

#: C's largest float and smallest normal one, which Caffe takes for bounds.
FLT_MAX, FLT_MIN = 3.4028234663852886e38, 1.1754943508222875e-38

_NEUTRAL = (("Mul", 1.0), ("Add", 0.0), ("Pow", 1.0))


def chain(g: Onnx, *steps: tuple[str, float | None]) -> None:
    """Operators one behind the other from the first bottom to the first top, each with a constant or (None) without.

    Steps that change nothing are left out.
    """
    live = [step for step in steps if step not in _NEUTRAL] or [("Identity", None)]
    x = g.bottoms[0]
    for place, (kind, constant) in enumerate(live, 1):
        inputs = [x] if constant is None else [x, g.floats(constant)]
        x = g.op(kind, inputs, g.tops if place == len(live) else None)


def fill(g: Onnx, value: float) -> None:
    """The first top is one value everywhere, in the shape of the first bottom."""
    g.op("Expand", [g.floats(value), g.op("Shape", g.bottoms[:1])], g.tops)


def piece(g: Onnx, x: str, start: int, end: int, axis: int = -1) -> str:
    """x[..., start:end] along an axis."""
    return g.op("Slice", [x, g.ints([start]), g.ints([end]), g.ints([axis])])


def sides(g: Onnx, x: str, start: int, end: int) -> str:
    """The sides of x from one axis to before another, as a tensor: (0, 1) is the batch, as it is at run time."""
    return g.op("Slice", [g.op("Shape", [x]), g.ints([start]), g.ints([end])])


def beside(g: Onnx, x: str, axes: int, others: Sequence[int]) -> str:
    """A shape: the first axes of x, as they are at run time, and other sides behind them."""
    lead = sides(g, x, 0, axes) if axes else g.ints([])
    return g.op("Concat", [lead, g.ints(others)], axis=0)


def per_channel(g: Onnx, blob: str, axes: int) -> str:
    """One number per channel, with ones behind it to line up with a blob of so many axes."""
    return g.op("Reshape", [blob, g.ints((-1, *(1,) * (axes - 2)))])


def moments(g: Onnx, x: str, axes: Sequence[int]) -> tuple[str, str]:
    """x less its mean over the axes, and its (biased) variance there."""
    centred = g.op("Sub", [x, g.op("ReduceMean", [x], axes=tuple(axes))])
    return centred, g.op("ReduceMean", [g.op("Mul", [centred, centred])], axes=tuple(axes))

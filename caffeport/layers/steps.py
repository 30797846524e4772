"""ONNX nodes for arithmetic with constants, the same for every layer that is such a chain."""

from __future__ import annotations

from caffeport.layers.base import Onnx

#: Element types as ONNX counts them, for Cast.
FLOAT, INT64, BOOL = 1, 7, 9

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

"""YOLO's boxes in ONNX: maps of cells decoded, boxes of all labels suppressed in one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from caffeport.layers.base import Onnx
from caffeport.layers.detecting import nothing
from caffeport.layers.nodes import FLOAT, piece, sides

#: Width and height in pixels of one map's boxes.
Anchors: TypeAlias = Sequence[tuple[float, float]]


def decode(g: Onnx, x: str, side: int, classes: int, anchors: Anchors, scale: int) -> tuple[str, str]:
    """Corners (boxes x 4) and scores (boxes x classes) of a map with sides `side`, in the order of the fork's loops."""
    parts = g.op("Reshape", [x, g.ints((-1, len(anchors), 5 + classes, side * side))])
    parts = g.op("Transpose", [parts], perm=(0, 3, 1, 2))
    cells = g.floats([[[cell % side, cell // side]] for cell in range(side * side)])
    sizes = g.floats([[w / (side * scale), h / (side * scale)] for w, h in anchors])
    centre = g.op("Div", [g.op("Add", [g.op("Sigmoid", [piece(g, parts, 0, 2)]), cells]), g.floats(float(side))])
    half = g.op("Mul", [g.op("Mul", [g.op("Exp", [piece(g, parts, 2, 4)]), sizes]), g.floats(0.5)])
    corners = g.op("Concat", [g.op("Sub", [centre, half]), g.op("Add", [centre, half])], axis=-1)
    ends = ((4, 5), (5, 5 + classes))
    scores = g.op("Mul", [g.op("Sigmoid", [piece(g, parts, *end)]) for end in ends])
    return g.op("Reshape", [corners, g.ints((-1, 4))]), g.op("Reshape", [scores, g.ints((-1, classes))])


def suppress(g: Onnx, boxes: str, scores: str, classes: int, threshold: float, overlap: float) -> None:
    """The top: rows of 0, label, score and box, best first; a row of -1 per picture where there are none."""
    # One candidate per box and label, so that labels suppress each other.
    flat = g.op("Reshape", [scores, g.ints((1, 1, -1))])
    shape = g.op("Concat", [g.op("Shape", [scores]), g.ints([4])], axis=0)
    spread = g.op("Reshape", [g.op("Expand", [g.op("Unsqueeze", [boxes, g.ints([1])]), shape]), g.ints((1, -1, 4))])
    limits = [g.floats([_below(overlap)]), g.floats([threshold])]
    count = g.op("Squeeze", [sides(g, flat, 2, 3)])
    chosen = g.op("NonMaxSuppression", [spread, flat, count, *limits])
    places = g.op("Reshape", [piece(g, chosen, 2, 3, 1), g.ints([-1])])
    score = g.op("Gather", [g.op("Reshape", [flat, g.ints([-1])]), places])
    score, order = g.ops("TopK", [score, g.op("Shape", [places])], 2)
    places = g.op("Gather", [places, order])
    label = g.op("Add", [g.op("Mod", [places, g.ints(classes)]), g.ints(1)])
    box = g.op("Gather", [boxes, g.op("Div", [places, g.ints(classes)])])
    label = g.op("Cast", [label], to=FLOAT)
    columns = [g.op("Unsqueeze", [x, g.ints([1])]) for x in (g.op("Mul", [label, g.floats(0.0)]), label, score)]
    found = g.op("Concat", [*columns, box], axis=1)
    empty = nothing(g, places, sides(g, g.bottoms[0], 0, 1))
    g.op("Unsqueeze", [g.op("Concat", [found, empty], axis=0), g.ints((0, 1))], g.tops)


def _below(limit: float) -> float:
    """The next smaller float32: the fork suppresses at the threshold too, the operator above it."""
    import numpy as np

    return float(np.nextafter(np.float32(min(limit, 1.0)), np.float32(0)))

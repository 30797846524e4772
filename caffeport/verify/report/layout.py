"""A net drawn as a graph, as plain numbers: one row per layer in running order, a lane per branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Pixels: a box, the gap between rows, and the gap between lanes.
WIDTH, HEIGHT, ROW, LANE = 226, 26, 40, 250
MARGIN = 12


@dataclass(frozen=True, slots=True)
class Box:
    """A layer's place: its index, and the upper left corner."""

    index: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes, edges as SVG paths with the indices of both ends, and the size of it all."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int, str], ...]
    width: int
    height: int


def draw(layers: Sequence[Mapping[str, Any]]) -> Drawing:
    """Place layers: each as low as its lowest bottom demands, in the lane of its leftmost bottom where that is free."""
    makers = {value: layer["index"] for layer in layers for value in layer["tops"]}
    bottoms = {layer["index"]: [makers[v] for v in layer["bottoms"] if v in makers] for layer in layers}
    rows: dict[int, int] = {}
    for layer in layers:
        index = layer["index"]
        rows[index] = 1 + max((rows[below] for below in bottoms[index]), default=-1)
    lanes = _lanes(layers, rows, bottoms)
    boxes = tuple(Box(index, MARGIN + lane * LANE, MARGIN + rows[index] * ROW) for index, lane in sorted(lanes.items()))
    by_index = {box.index: box for box in boxes}
    edges = tuple(
        (below, index, _path(by_index[below], by_index[index]))
        for index in sorted(bottoms)
        for below in dict.fromkeys(bottoms[index])
    )
    width = 2 * MARGIN + max((lanes.values()), default=0) * LANE + WIDTH
    return Drawing(boxes, edges, width, 2 * MARGIN + max(rows.values(), default=0) * ROW + HEIGHT)


def _lanes(
    layers: Sequence[Mapping[str, Any]], rows: Mapping[int, int], bottoms: Mapping[int, Sequence[int]]
) -> dict[int, int]:
    """Lanes by layer. A lane is taken at a row where it holds a box, or where a long edge passes down it."""
    last = {index: rows[index] for index in rows}
    for index, below in bottoms.items():
        for one in below:
            last[one] = max(last[one], rows[index] - 1)
    taken: set[tuple[int, int]] = set()
    lanes: dict[int, int] = {}
    for layer in layers:
        index = layer["index"]
        # The leftmost bottom's lane: else each residual block would sit one lane to the right of the last.
        wanted = min((lanes[below] for below in bottoms[index]), default=0)
        lane = next(lane for lane in _around(wanted) if (rows[index], lane) not in taken)
        lanes[index] = lane
        taken |= {(row, lane) for row in range(rows[index], last[index] + 1)}
    return lanes


def _around(wanted: int) -> list[int]:
    """The lane that is wanted, then those to its right, then those to its left."""
    return [wanted, *range(wanted + 1, wanted + 4096), *range(wanted - 1, -1, -1)]


def _path(upper: Box, lower: Box) -> str:
    """From the bottom edge of one box to the top edge of another, as a smooth curve where lanes differ."""
    x1, y1, x2, y2 = upper.x + WIDTH // 2, upper.y + HEIGHT, lower.x + WIDTH // 2, lower.y
    if x1 == x2:
        return f"M{x1} {y1}V{y2}"
    # The way down is along the upper box's own lane, which is kept free for it.
    turn = y2 - (ROW - HEIGHT)
    return f"M{x1} {y1}V{turn}C{x1} {y2},{x2} {turn},{x2} {y2}"

"""Boxes in ONNX: decoding, suppression and Caffe's order of what is left, for every layer that detects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffeport.layers.base import Onnx


def piece(g: Onnx, x: str, start: int, end: int, axis: int = -1) -> str:
    """x[..., start:end] along an axis."""
    return g.op("Slice", [x, g.ints([start]), g.ints([end]), g.ints([axis])])


def pictures(g: Onnx, x: str) -> str:
    """The first side of x, as a tensor of one number."""
    return g.op("Slice", [g.op("Shape", [x]), g.ints([0]), g.ints([1])])


def decode(g: Onnx, location: str, priors: str, code: str, variance_in_target: bool) -> str:
    """SSD's predictions N x boxes x classes x 4, with priors 1 x 2 x (boxes times 4), as boxes of the same shape."""
    pair = g.op("Reshape", [priors, g.ints((2, -1, 1, 4))])
    prior, variance = (g.op("Squeeze", [piece(g, pair, k, k + 1, 0), g.ints([0])]) for k in (0, 1))
    shift = location if variance_in_target else g.op("Mul", [location, variance])
    if code == "CORNER":
        return g.op("Add", [prior, shift])
    low, high = piece(g, prior, 0, 2), piece(g, prior, 2, 4)
    size = g.op("Sub", [high, low])
    if code == "CORNER_SIZE":
        return g.op("Add", [prior, g.op("Mul", [shift, g.op("Concat", [size, size], axis=-1)])])
    half = g.floats(0.5)
    middle = g.op("Mul", [g.op("Add", [low, high]), half])
    centre = g.op("Add", [middle, g.op("Mul", [piece(g, shift, 0, 2), size])])
    reach = g.op("Mul", [g.op("Mul", [g.op("Exp", [piece(g, shift, 2, 4)]), size]), half])
    return g.op("Concat", [g.op("Sub", [centre, reach]), g.op("Add", [centre, reach])], axis=-1)


def suppress(
    g: Onnx, boxes: str, ranked: str, overlap: float, threshold: float | None = None, most: int | None = None
) -> str:
    """A mask over R x K scores that fall along each row: 1 where the box R x K x 4 overlaps no better one that stays.

    Boxes with a score up to `threshold` are left out, and `most` are kept of each row.

    The rows go through NonMaxSuppression as pictures of one class each. Boxes with a negative side have no area for
    Caffe; they are folded to a line, so that the operator does not turn them round.
    """
    low = piece(g, boxes, 0, 2)
    solid = g.op("Concat", [low, g.op("Max", [low, piece(g, boxes, 2, 4)])], axis=-1)
    shape = g.op("Shape", [ranked])
    count = g.op("Squeeze", [piece(g, shape, 1, 2, 0)]) if most is None else g.ints(most)
    limits = [count, g.floats([min(overlap, 1.0)])]
    if threshold is not None:
        limits.append(g.floats([threshold]))
    chosen = g.op("NonMaxSuppression", [solid, g.op("Unsqueeze", [ranked, g.ints([1])]), *limits])
    places = g.op("Gather", [chosen, g.ints((0, 2))], axis=1)
    one = g.op("Expand", [g.floats(1.0), g.op("Slice", [g.op("Shape", [places]), g.ints([0]), g.ints([1])])])
    return g.op("ScatterND", [g.op("Expand", [g.floats(0.0), shape]), places, one])


def detect(g: Onnx, labels: Sequence[int], boxes: str, scores: str, limits: tuple[float, float, int, int]) -> None:
    """Rows of picture, label, score and box, as Caffe orders them; one row of -1 per picture where there are none.

    Args:
        boxes: N x K x (labels or 1) x 4; scores: N x labels x K.
        limits: the lowest score, the largest overlap, candidates per label, detections per picture (-1: all).
    """
    threshold, overlap, candidates, keep = limits
    count, n, one = len(labels), pictures(g, scores), g.ints([1])
    ranked, places = g.ops("TopK", [scores, g.ints([candidates])], 2, axis=-1)
    rows = g.ints((-1, candidates))
    spread = g.op("Concat", [n, g.ints((count, candidates, 4))], axis=0)
    boxes = g.op("Transpose", [boxes], perm=(0, 2, 1, 3))
    whole = g.op("Concat", [n, g.ints((count,)), piece(g, g.op("Shape", [boxes]), 2, 4, 0)], axis=0)
    index = g.op("Expand", [g.op("Unsqueeze", [places, g.ints([3])]), spread])
    boxes = g.op("GatherElements", [g.op("Expand", [boxes, whole]), index], axis=2)
    kept = suppress(
        g, g.op("Reshape", [boxes, g.ints((-1, candidates, 4))]), g.op("Reshape", [ranked, rows]), overlap, threshold
    )
    kept = g.op("Reshape", [kept, g.ints((-1, count * candidates))])
    if -1 < keep < count * candidates:
        kept = _best(g, kept, g.op("Reshape", [ranked, g.ints((-1, count * candidates))]), keep)
    kept = g.op("Reshape", [kept, g.op("Shape", [ranked])])
    where = g.op("Transpose", [g.op("NonZero", [kept])], perm=(1, 0))
    label = g.op("Gather", [g.floats([float(label) for label in labels]), piece(g, where, 1, 2)])
    score = g.op("Unsqueeze", [g.op("GatherND", [ranked, where]), one])
    picture = g.op("Cast", [piece(g, where, 0, 1)], to=1)
    found = g.op("Concat", [picture, label, score, g.op("GatherND", [boxes, where])], axis=1)
    g.op("Unsqueeze", [g.op("Concat", [found, nothing(g, where, n)], axis=0), g.ints((0, 1))], g.tops)


def _best(g: Onnx, kept: str, ranked: str, keep: int) -> str:
    """Of the boxes kept of each picture, those with the best scores."""
    stays = g.op("Cast", [kept], to=9)
    lowest = g.op("Where", [stays, ranked, g.floats(float("-inf"))])
    _, places = g.ops("TopK", [lowest, g.ints([keep])], 2, axis=-1)
    chosen = g.op("ScatterElements", [g.op("Mul", [kept, g.floats(0.0)]), places, _ones(g, places)], axis=1)
    return g.op("Mul", [kept, chosen])


def _ones(g: Onnx, like: str) -> str:
    return g.op("Expand", [g.floats(1.0), g.op("Shape", [like])])


def nothing(g: Onnx, where: str, n: str) -> str:
    """One row per picture where `where` has none: its number and six times -1."""
    empty = g.op("Equal", [pictures(g, where), g.ints([0])])
    rows = g.op("Squeeze", [g.op("Mul", [g.op("Cast", [empty], to=7), n])])
    numbers = g.op("Cast", [g.op("Range", [g.ints(0), rows, g.ints(1)])], to=1)
    return g.op("Pad", [g.op("Unsqueeze", [numbers, g.ints([1])]), g.ints((0, 0, 0, 6)), g.floats(-1.0)])


def align(got: Any, want: Any, keep: int) -> Any:
    """Detections (1 x 1 x R x 7) in the order of Caffe's, which sorts equal scores in no particular order.

    Rows of equal picture, label and score change places. Where a picture has as many rows as it may keep, Caffe may
    have kept others of those with the lowest score: there only picture and score count.
    """
    if got.shape != want.shape:
        return got
    rows, wanted, placed = got.reshape(-1, 7), want.reshape(-1, 7), got.copy().reshape(-1, 7)
    waiting: dict[tuple[float, ...], list[Any]] = {}
    for row in rows:
        waiting.setdefault(_place(row, wanted, keep), []).append(row)
    for number, row in enumerate(wanted):
        group = waiting.get(_place(row, wanted, keep))
        if not group:
            return got
        near = min(range(len(group)), key=lambda k: float(abs(group[k] - row).max()))
        found = group.pop(near)
        placed[number] = row if _open(row, wanted, keep) and not _close(found, row) else found
    return placed.reshape(got.shape)


def _place(row: Any, wanted: Any, keep: int) -> tuple[float, ...]:
    """What rows must share to change places."""
    return (row[0], row[2]) if _open(row, wanted, keep) else tuple(row[:3])


def _open(row: Any, wanted: Any, keep: int) -> bool:
    """Whether a row has the lowest score of a picture that has as many rows as it may keep."""
    scores = wanted[wanted[:, 0] == row[0], 2]
    return len(scores) == keep and bool(row[2] == scores.min())


def _close(one: Any, other: Any) -> bool:
    return bool(abs(one - other).max() <= 1e-4)

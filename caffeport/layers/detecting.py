"""Boxes in ONNX: decoding, suppression and Caffe's order of what is left, for every layer that detects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Misfit, Onnx, Shapes
from caffeport.layers.faces import options
from caffeport.layers.nodes import BOOL, FLOAT, FLT_MAX, INT64, piece, sides
from caffeport.layers.shapes import count


@dataclass(frozen=True, slots=True)
class Suppression:
    """Which detections stay.

    Attributes:
        threshold: the score that a box must exceed; overlap: with a better box of its label, at most.
        top_k: candidates per label; keep: detections per picture (-1: all of them).
        eta: what `overlap` is multiplied by with each box that stays, while it is above 0.5.
    """

    threshold: float
    overlap: float
    top_k: int
    keep: int
    eta: float

    @classmethod
    def read(cls, p: Fields) -> Suppression:
        """DetectionOutputParameter's part of it."""
        n = p.sub("nms_param")
        eta, overlap = n.float("eta"), n.float("nms_threshold")
        if not 0 < eta <= 1:
            raise n.refuse("eta", f"is {eta}", "above 0, at most 1")
        if not overlap >= 0:
            raise n.refuse("nms_threshold", f"is {overlap}", "0 or more")
        threshold = p.float("confidence_threshold", -FLT_MAX)
        return cls(threshold, overlap, n.int("top_k", -1), p.int("keep_top_k"), eta)

    def candidates(self, boxes: int) -> int:
        """How many boxes of a label are looked at."""
        return boxes if self.top_k < 0 else min(self.top_k, boxes)

    def most(self, labels: int, boxes: int) -> int:
        """The most detections that a picture can have; one row stands for none."""
        found = labels * self.candidates(boxes)
        return found if self.keep < 0 else min(found, max(self.keep, 1))

    def arguments(self) -> dict[str, Any]:
        """The module's arguments."""
        limits = options(threshold=(self.threshold, -FLT_MAX), overlap=(self.overlap, 0.3))
        return limits | options(top_k=(self.top_k, -1), keep=(self.keep, -1), eta=(self.eta, 1.0))


def check_predictions(bottoms: Shapes, classes: int, shared: bool) -> int:
    """How many priors there are; refuses locations and scores (the first two bottoms) that are not one for each."""
    location, scores, priors = bottoms[:3]
    boxes, each = priors[2] // 4 if len(priors) > 2 else 0, 4 if shared else 4 * classes
    if location[:1] != scores[:1] or (count(location, 1), count(scores, 1)) != (boxes * each, boxes * classes):
        found = f"{count(location, 1)} locations and {count(scores, 1)} scores for {boxes} priors"
        raise Misfit(found, f"{each} and {classes} for each prior, of as many pictures")
    return boxes


def predicted(g: Onnx, classes: int, labels: Sequence[int], shared: bool, coding: tuple[str, bool]) -> tuple[str, str]:
    """Decoded boxes N x priors x (labels or 1) x 4 and scores N x labels x priors out of the first three bottoms.

    `coding` is the code's name and whether it holds the variance, see `decode`.
    """
    boxes = g.shapes[2][2] // 4
    scores = g.op("Reshape", [g.bottoms[1], g.ints((-1, boxes, classes))])
    scores = g.op("Transpose", [g.op("Gather", [scores, g.ints(labels)], axis=2)], perm=(0, 2, 1))
    location = g.op("Reshape", [g.bottoms[0], g.ints((-1, boxes, 1 if shared else classes, 4))])
    if not shared:
        location = g.op("Gather", [location, g.ints(labels)], axis=2)
    return decode(g, location, g.bottoms[2], *coding), scores


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
    kept = g.op("Squeeze", [piece(g, shape, 1, 2, 0)]) if most is None else g.ints(most)
    limits = [kept, g.floats([min(overlap, 1.0)])]
    if threshold is not None:
        limits.append(g.floats([threshold]))
    chosen = g.op("NonMaxSuppression", [solid, g.op("Unsqueeze", [ranked, g.ints([1])]), *limits])
    places = g.op("Gather", [chosen, g.ints((0, 2))], axis=1)
    one = g.op("Expand", [g.floats(1.0), sides(g, places, 0, 1)])
    return g.op("ScatterND", [g.op("Expand", [g.floats(0.0), shape]), places, one])


def detect(g: Onnx, labels: Sequence[int], boxes: str, scores: str, limits: Suppression) -> None:
    """Rows of picture, label, score and box, as Caffe orders them; one row of -1 per picture where there are none.

    Args:
        boxes: N x K x (labels or 1) x 4; scores: N x labels x K.
    """
    candidates, keep = limits.candidates(g.shapes[2][2] // 4), limits.keep
    classes, n, one = len(labels), sides(g, scores, 0, 1), g.ints([1])
    ranked, places = g.ops("TopK", [scores, g.ints([candidates])], 2, axis=-1)
    rows = g.ints((-1, candidates))
    spread = g.op("Concat", [n, g.ints((classes, candidates, 4))], axis=0)
    boxes = g.op("Transpose", [boxes], perm=(0, 2, 1, 3))
    whole = g.op("Concat", [n, g.ints((classes,)), sides(g, boxes, 2, 4)], axis=0)
    index = g.op("Expand", [g.op("Unsqueeze", [places, g.ints([3])]), spread])
    boxes = g.op("GatherElements", [g.op("Expand", [boxes, whole]), index], axis=2)
    flat = g.op("Reshape", [boxes, g.ints((-1, candidates, 4))])
    kept = suppress(g, flat, g.op("Reshape", [ranked, rows]), limits.overlap, limits.threshold)
    kept = g.op("Reshape", [kept, g.ints((-1, classes * candidates))])
    if -1 < keep < classes * candidates:
        kept = _best(g, kept, g.op("Reshape", [ranked, g.ints((-1, classes * candidates))]), keep)
    kept = g.op("Reshape", [kept, g.op("Shape", [ranked])])
    where = g.op("Transpose", [g.op("NonZero", [kept])], perm=(1, 0))
    label = g.op("Gather", [g.floats([float(label) for label in labels]), piece(g, where, 1, 2)])
    score = g.op("Unsqueeze", [g.op("GatherND", [ranked, where]), one])
    picture = g.op("Cast", [piece(g, where, 0, 1)], to=FLOAT)
    found = g.op("Concat", [picture, label, score, g.op("GatherND", [boxes, where])], axis=1)
    g.op("Unsqueeze", [g.op("Concat", [found, nothing(g, where, n)], axis=0), g.ints((0, 1))], g.tops)


def _best(g: Onnx, kept: str, ranked: str, keep: int) -> str:
    """Of the boxes kept of each picture, those with the best scores."""
    stays = g.op("Cast", [kept], to=BOOL)
    lowest = g.op("Where", [stays, ranked, g.floats(float("-inf"))])
    _, places = g.ops("TopK", [lowest, g.ints([keep])], 2, axis=-1)
    chosen = g.op("ScatterElements", [g.op("Mul", [kept, g.floats(0.0)]), places, _ones(g, places)], axis=1)
    return g.op("Mul", [kept, chosen])


def _ones(g: Onnx, like: str) -> str:
    return g.op("Expand", [g.floats(1.0), g.op("Shape", [like])])


def nothing(g: Onnx, where: str, n: str) -> str:
    """One row per picture where `where` has none: its number and six times -1."""
    empty = g.op("Equal", [sides(g, where, 0, 1), g.ints([0])])
    rows = g.op("Squeeze", [g.op("Mul", [g.op("Cast", [empty], to=INT64), n])])
    numbers = g.op("Cast", [g.op("Range", [g.ints(0), rows, g.ints(1)])], to=FLOAT)
    return g.op("Pad", [g.op("Unsqueeze", [numbers, g.ints([1])]), g.ints((0, 0, 0, 6)), g.floats(-1.0)])

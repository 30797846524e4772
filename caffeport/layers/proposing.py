"""What the two layers that propose regions share: anchors, shapes, the module's call, ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt

from caffeport.layers.base import Call, Inferred, Misfit, Onnx, Shapes
from caffeport.layers.detecting import suppress
from caffeport.layers.nodes import BOOL, FLOAT, FLT_MAX, piece
from caffeport.layers.shapes import show

Anchor = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Proposing:
    """How regions are proposed; `before` and `after` have a number for evaluation and one for training."""

    anchors: tuple[Anchor, ...]
    stride: int
    min_size: float
    before: tuple[int, int]
    after: tuple[int, int]
    overlap: float
    drop: bool

    def infer(self, bottoms: Shapes, tops: int, train: bool, score: tuple[int, ...]) -> Inferred:
        """Shapes for as many regions as are possible; `score` is one score's shape."""
        scores, moves, info = bottoms
        count = len(self.anchors)
        if len(scores) != 4 or scores[1] != 2 * count or moves != (scores[0], 4 * count, *scores[2:]):
            found = f"scores are {show(scores)}, moves {show(moves)}, for {count} anchors"
            raise Misfit(found, f"N x {2 * count} x H x W and N x {4 * count} x H x W")
        if len(info) != 2 or info[0] < scores[0] or info[1] < 3:
            raise Misfit(f"the third bottom is {show(info)}", "height, width and scale of each picture")
        most = scores[0] * min(self.after[train], count * scores[2] * scores[3])
        return Inferred(((most, 5), (most, *score))[:tops])

    def torch(self, tops: int, score: tuple[int, ...]) -> Call:
        """The module's call."""
        names = ("anchors", "stride", "min_size", "before", "after", "overlap", "drop")
        kwargs = {name: getattr(self, name) for name in names}
        return Call("Proposal", (), kwargs | ({"scored": 1 + len(score)} if tops == 2 else {}))

    def onnx(self, g: Onnx, score: tuple[int, ...]) -> None:
        """The nodes, for evaluation."""
        _, _, height, width = g.shapes[0]
        count = len(self.anchors)
        total = count * height * width
        scores = g.op("Transpose", [piece(g, g.bottoms[0], count, 2 * count, 1)], perm=(0, 2, 3, 1))
        scores = g.op("Reshape", [scores, g.ints((-1, total))])
        boxes = self._boxes(g, height, width)
        large = self._large(g, boxes)
        scores = g.op("Where", [large, scores, g.floats(float("-inf") if self.drop else 0.0)])
        best = min(self.before[0], total)
        ranked, places = g.ops("TopK", [scores, g.ints([best])], 2, axis=1)
        index = g.op("Expand", [g.op("Unsqueeze", [places, g.ints([2])]), g.ints((1, 1, 4))])
        boxes = g.op("GatherElements", [boxes, index], axis=1)
        # Sides count both end pixels here: one more than the operator sees.
        grown = g.op("Add", [boxes, g.floats([0.0, 0.0, 1.0, 1.0])])
        kept = suppress(g, grown, ranked, self.overlap, -FLT_MAX if self.drop else None, self.after[0])
        where = g.op("Transpose", [g.op("NonZero", [kept])], perm=(1, 0))
        picture = g.op("Cast", [piece(g, where, 0, 1)], to=FLOAT)
        g.op("Concat", [picture, g.op("GatherND", [boxes, where])], g.tops[:1], axis=1)
        if len(g.tops) == 2:
            g.op("Reshape", [g.op("GatherND", [ranked, where]), g.ints((-1, *score))], g.tops[1:])

    def _boxes(self, g: Onnx, height: int, width: int) -> str:
        """Anchors on every cell, moved and clipped: N x (H W A) x 4."""
        cells = [(x * self.stride, y * self.stride) for y in range(height) for x in range(width)]
        stand = [(a + x, b + y, c + x, d + y) for x, y in cells for a, b, c, d in self.anchors]
        size = g.floats([[c - a + 1, d - b + 1] for a, b, c, d in stand])
        middle = g.floats([[a + 0.5 * (c - a + 1), b + 0.5 * (d - b + 1)] for a, b, c, d in stand])
        moves = g.op("Transpose", [g.bottoms[1]], perm=(0, 2, 3, 1))
        moves = g.op("Reshape", [moves, g.ints((-1, len(stand), 4))])
        centre = g.op("Add", [g.op("Mul", [piece(g, moves, 0, 2), size]), middle])
        half = g.op("Mul", [g.op("Mul", [g.op("Exp", [piece(g, moves, 2, 4)]), size]), g.floats(0.5)])
        moved = g.op("Concat", [g.op("Sub", [centre, half]), g.op("Add", [centre, half])], axis=-1)
        most = g.op("Sub", [g.op("Gather", [g.bottoms[2], g.ints((1, 0, 1, 0))], axis=1), g.floats(1.0)])
        moved = g.op("Min", [moved, g.op("Unsqueeze", [most, g.ints([1])])])
        return g.op("Max", [moved, g.floats(0.0)])

    def _large(self, g: Onnx, boxes: str) -> str:
        """Which boxes have sides of min_size or more, in pixels of the unscaled picture."""
        sides = g.op("Add", [g.op("Sub", [piece(g, boxes, 2, 4), piece(g, boxes, 0, 2)]), g.floats(1.0)])
        scales = g.op("Gather", [g.bottoms[2], g.ints((g.shapes[2][1] - 1, 2))], axis=1)
        least = g.op("Mul", [g.op("Unsqueeze", [scales, g.ints([1])]), g.floats(self.min_size)])
        fits = g.op("Cast", [g.op("GreaterOrEqual", [sides, least])], to=FLOAT)
        return g.op("Cast", [g.op("ReduceMin", [fits], axes=[2], keepdims=0)], to=BOOL)


def python_anchors(ratios: tuple[float, ...], scales: tuple[float, ...], base: int = 16) -> tuple[Anchor, ...]:
    """py-faster-rcnn's anchors (lib/rpn/generate_anchors.py): sides are rounded before they are scaled."""
    found = []
    for ratio in ratios:
        width = round(sqrt(base * base / ratio))
        height = round(width * ratio)
        found += [_around(0.5 * (base - 1), width * scale - 1, height * scale - 1) for scale in scales]
    return tuple(found)


def proposal_anchors(ratios: tuple[float, ...], scales: tuple[float, ...], base: int) -> tuple[Anchor, ...]:
    """The C++ layer's anchors: sides are rounded after they are scaled."""
    found = []
    for ratio in ratios:
        width = sqrt(base * base / ratio)
        sides = [(floor(width * scale - 0.5), floor(width * ratio * scale - 0.5)) for scale in scales]
        found += [_around(0.5 * (base - 1), w, h) for w, h in sides]
    return tuple(found)


def _around(centre: float, width: float, height: float) -> Anchor:
    return (centre - width / 2, centre - height / 2, centre + width / 2, centre + height / 2)

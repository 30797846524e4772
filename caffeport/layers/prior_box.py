"""PriorBox: the boxes that a detector's predictions start from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import sqrt
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PriorBox(Layer):
    """Boxes of several sizes around every cell of a feature map, and their variances: 1 x 2 x (boxes times 4).

    weiliu89/caffe, branch ssd: prior_box_layer.cpp, which cuts sizes down to whole pixels.
    """

    type = "PriorBox"
    bottoms = (2, 2)
    fork = "SSD"
    mirrors = "prior_box_layer.cpp"

    sizes: tuple[Pair, ...]
    variance: tuple[float, ...]
    image: tuple[int, int] | None
    step: Pair | None
    offset: float
    clip: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> PriorBox:
        p = f.sub("prior_box_param")
        variance = p.floats("variance") or (0.1,)
        if len(variance) not in (1, 4) or min(variance) <= 0:
            raise p.refuse("variance", f"is {list(variance)}", "one or four positive numbers")
        image, step = _sides(p, "img_size", "img", p.int), _sides(p, "step", "step", p.float)
        return cls(_sizes(p), variance * (4 // len(variance)), image, step, p.float("offset"), p.bool("clip"))

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[0]) != 4 or len(bottoms[1]) != 4:
            raise Misfit("a bottom has not four axes", "a feature map and a picture (N x C x H x W)")
        return Inferred(((1, 2, bottoms[0][2] * bottoms[0][3] * len(self.sizes) * 4),))

    def torch(self, bottoms: Shapes) -> Call:
        options = {"image": (self.image, None), "step": (self.step, None), "offset": (self.offset, 0.5)}
        kwargs = {name: value for name, (value, default) in options.items() if value != default}
        return Call("PriorBox", (self.sizes, self.variance), kwargs | ({"clip": True} if self.clip else {}))

    def onnx(self, g: Onnx) -> None:
        # Only shapes go in, so the boxes are a constant.
        g.op("Identity", [g.floats(self.boxes(g.shapes))], g.tops)

    def boxes(self, bottoms: Shapes) -> Any:
        """The boxes and their variances as the layer gives them, 1 x 2 x (boxes times 4)."""
        height, width = bottoms[0][2:]
        image = self.image or bottoms[1][2:]
        step = self.step or (image[0] / height, image[1] / width)
        boxes = [
            ((cell[axis] + self.offset) * step[axis] + sign * size[axis] / 2) / image[axis]
            for cell in product(range(height), range(width))
            for size in ((h, w) for w, h in self.sizes)
            for sign in (-1, 1)
            for axis in (1, 0)
        ]
        if self.clip:
            boxes = [min(max(side, 0.0), 1.0) for side in boxes]
        return [[boxes, self.variance * (len(boxes) // 4)]]


def _sides(p: Fields, both: str, stem: str, get: Any) -> Any:
    """A number for height and width (None where neither is set), or one for each."""
    height, width = f"{stem}_h", f"{stem}_w"
    if p.has(height) or p.has(width):
        if p.has(both):
            raise p.refuse(both, f"is set beside {height} or {width}", "Caffe takes one of the two")
        sides = (get(height, 0), get(width, 0))
    elif p.has(both):
        sides = (get(both),) * 2
    else:
        return None
    if min(sides) <= 0:
        raise p.refuse(stem, f"is {sides}", "Caffe wants height and width above 0")
    return sides


def _sizes(p: Fields) -> tuple[Pair, ...]:
    """Width and height of the boxes of one cell, in the layer's order."""
    small, large = p.floats("min_size"), p.floats("max_size")
    if not small or min(small) <= 0:
        raise p.refuse("min_size", f"is {list(small)}", "one or more positive sizes")
    if large and (len(large) != len(small) or any(b <= a for a, b in zip(small, large, strict=True))):
        found = f"is {list(large)} beside min_size {list(small)}"
        raise p.refuse("max_size", found, "none, or one above each min_size")
    ratios = [1.0]
    for ratio in p.floats("aspect_ratio"):
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios += [ratio, 1 / ratio] if p.bool("flip") else [ratio]
    p.ignore("flip")
    sizes: list[Pair] = []
    for k, side in enumerate(map(int, small)):
        sizes.append((float(side), float(side)))
        if large:
            middle = sqrt(side * int(large[k]))
            sizes.append((middle, middle))
        # An early commit of the branch began these at the middle size; no setting tells, the last commit counts.
        sizes += [(side * sqrt(ratio), side / sqrt(ratio)) for ratio in ratios[1:] if abs(ratio - 1) >= 1e-6]
    return tuple(sizes)

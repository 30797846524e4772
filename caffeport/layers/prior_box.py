"""PriorBox: the boxes that a detector's predictions start from."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.priors import Pair, prior_boxes, read_sides, read_sizes
from caffeport.layers.shapes import four_axes


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
        if len(variance) not in (1, 4) or not min(variance) > 0:
            raise p.refuse("variance", f"is {list(variance)}", "one or four positive numbers")
        image, step = read_sides(p, "img_size", "img", p.int), read_sides(p, "step", "step", p.float)
        return cls(read_sizes(p), variance * (4 // len(variance)), image, step, p.float("offset"), p.bool("clip"))

    def infer(self, bottoms: Shapes) -> Inferred:
        four_axes(bottoms)
        return Inferred(((1, 2, bottoms[0][2] * bottoms[0][3] * len(self.sizes) * 4),))

    def torch(self, bottoms: Shapes) -> Call:
        where = options(image=(self.image, None), step=(self.step, None), offset=(self.offset, 0.5))
        return Call("PriorBox", (self.sizes, self.variance), where | options(clip=(self.clip, False)))

    def onnx(self, g: Onnx) -> None:
        # Only shapes go in, so the boxes are a constant.
        image = self.image or g.shapes[1][2:]
        boxes = prior_boxes(g.shapes[0][2:], image, self.step, self.offset, self.sizes)
        if self.clip:
            boxes = [min(max(side, 0.0), 1.0) for side in boxes]
        g.op("Identity", [g.floats([[boxes, self.variance * (len(boxes) // 4)]])], g.tops)

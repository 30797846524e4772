"""PSROIPooling: means of a grid laid over each region, each cell from channels of its own."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.regions import cells, check_regions, pictures_of


@dataclass(frozen=True, slots=True)
class PSROIPooling(Layer):
    """Mean of each cell of a grid over each region (picture, x1, y1, x2, y2), every cell from its own channels.

    daijifeng001/caffe-rfcn: psroi_pooling_layer.cu.
    """

    type = "PSROIPooling"
    bottoms = (2, 2)
    fork = "R-FCN"
    mirrors = "psroi_pooling_layer.cu"

    scale: float
    output: int
    group: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> PSROIPooling:
        p = f.sub("psroi_pooling_param")
        return cls(p.float("spatial_scale"), positive(p, "output_dim"), positive(p, "group_size"))

    def infer(self, bottoms: Shapes) -> Inferred:
        check_regions(bottoms)
        if bottoms[0][1] != (wanted := self.output * self.group**2):
            raise Misfit(f"the bottom has {bottoms[0][1]} channels", f"{wanted}: output_dim * group_size * group_size")
        return Inferred(((bottoms[1][0], self.output, self.group, self.group),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("PSROIPooling", (self.output, self.group, self.scale))

    def onnx(self, g: Onnx) -> None:
        _, _, height, width = g.shapes[0]
        x = g.op("Reshape", [g.bottoms[0], g.ints((-1, self.output, self.group, self.group, height, width))])
        rois = g.op("Reshape", [g.bottoms[1], g.ints((-1, 5))])
        own = pictures_of(g, rois)
        rows, columns = (cells(g, rois, axis, self.group, self.scale) for axis in (1, 0))
        chosen = g.op("Unsqueeze", [own, g.ints((2, 3))])
        chosen = g.op("Mul", [chosen, g.op("Unsqueeze", [rows, g.ints([1])])])
        sums = g.op("Einsum", [chosen, x], equation="rnih,ndijhw->rdijw")
        sums = g.op("Einsum", [sums, columns], equation="rdijw,rjw->rdij")
        sides = [g.op("ReduceSum", [inside, g.ints([2])], keepdims=0) for inside in (rows, columns)]
        area = g.op("Mul", [g.op("Unsqueeze", [sides[0], g.ints([2])]), g.op("Unsqueeze", [sides[1], g.ints([1])])])
        area = g.op("Unsqueeze", [g.op("Max", [area, g.floats(1.0)]), g.ints([1])])
        g.op("Div", [sums, area], g.tops)

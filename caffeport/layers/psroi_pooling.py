"""PSROIPooling: means of a grid laid over each region, each cell from channels of its own."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import count, show
from caffeport.layers.steps import FLOAT


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
        output, group = p.int("output_dim"), p.int("group_size")
        if min(output, group) < 1:
            raise p.refuse("output_dim", f"is {output}, group_size {group}", "both above 0")
        return cls(p.float("spatial_scale"), output, group)

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[0]) != 4 or count(bottoms[1], 1) != 5:
            found = f"bottoms are {show(bottoms[0])} and {show(bottoms[1])}"
            raise Misfit(found, "N x C x H x W, and regions of 5 numbers")
        if bottoms[0][1] != (wanted := self.output * self.group**2):
            raise Misfit(f"the bottom has {bottoms[0][1]} channels", f"{wanted}: output_dim * group_size * group_size")
        return Inferred(((bottoms[1][0], self.output, self.group, self.group),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("PSROIPooling", (self.output, self.group, self.scale))

    def onnx(self, g: Onnx) -> None:
        _, _, height, width = g.shapes[0]
        x = g.op("Reshape", [g.bottoms[0], g.ints((-1, self.output, self.group, self.group, height, width))])
        rois = g.op("Reshape", [g.bottoms[1], g.ints((-1, 5))])
        pictures = g.op("Slice", [g.op("Shape", [g.bottoms[0]]), g.ints([0]), g.ints([1])])
        numbers = g.op("Range", [g.ints(0), g.op("Squeeze", [pictures]), g.ints(1)])
        own = g.op("Equal", [_column(g, rois, 0), g.op("Cast", [numbers], to=FLOAT)])
        rows, columns = self._cells(g, rois, (2, 4), height), self._cells(g, rois, (1, 3), width)
        chosen = g.op("Unsqueeze", [g.op("Cast", [own], to=FLOAT), g.ints((2, 3))])
        chosen = g.op("Mul", [chosen, g.op("Unsqueeze", [rows, g.ints([1])])])
        sums = g.op("Einsum", [chosen, x], equation="rnih,ndijhw->rdijw")
        sums = g.op("Einsum", [sums, columns], equation="rdijw,rjw->rdij")
        sides = [g.op("ReduceSum", [cells, g.ints([2])], keepdims=0) for cells in (rows, columns)]
        area = g.op("Mul", [g.op("Unsqueeze", [sides[0], g.ints([2])]), g.op("Unsqueeze", [sides[1], g.ints([1])])])
        area = g.op("Unsqueeze", [g.op("Max", [area, g.floats(1.0)]), g.ints([1])])
        g.op("Div", [sums, area], g.tops)

    def _cells(self, g: Onnx, rois: str, place: tuple[int, int], side: int) -> str:
        """Which rows (or columns) belong to each cell of each region: R x group x side, 0 or 1."""
        scale = g.floats(self.scale)
        start, end = (_rounded(g, _column(g, rois, k)) for k in place)
        start = g.op("Mul", [start, scale])
        end = g.op("Mul", [g.op("Add", [end, g.floats(1.0)]), scale])
        size = g.op("Div", [g.op("Max", [g.op("Sub", [end, start]), g.floats(0.1)]), g.floats(float(self.group))])
        cells = [[float(cell) for cell in range(first, self.group + first)] for first in (0, 1)]
        first = g.op("Floor", [g.op("Add", [g.op("Mul", [size, g.floats(cells[0])]), start])])
        last = g.op("Ceil", [g.op("Add", [g.op("Mul", [size, g.floats(cells[1])]), start])])
        steps = g.floats([float(step) for step in range(side)])
        first, last = (g.op("Unsqueeze", [edge, g.ints([2])]) for edge in (first, last))
        inside = g.op("And", [g.op("GreaterOrEqual", [steps, first]), g.op("Less", [steps, last])])
        return g.op("Cast", [inside], to=FLOAT)


def _column(g: Onnx, rois: str, k: int) -> str:
    return g.op("Slice", [rois, g.ints([k]), g.ints([k + 1]), g.ints([1])])


def _rounded(g: Onnx, x: str) -> str:
    """C's round, which takes halves away from zero."""
    size = g.op("Floor", [g.op("Add", [g.op("Abs", [x]), g.floats(0.5)])])
    return g.op("Mul", [g.op("Sign", [x]), size])

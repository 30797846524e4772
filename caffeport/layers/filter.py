"""Filter."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.nodes import BOOL
from caffeport.layers.shapes import count, show


@dataclass(frozen=True, slots=True)
class Filter(Layer):
    """Hands on the items whose number in the last bottom is not 0; how many they are, the data decide."""

    type = "Filter"
    bottoms = (2, MANY)
    tops = (1, MANY)
    mirrors = "filter_layer.cpp"
    varying = True

    @classmethod
    def read(cls, f: Fields, at: Site) -> Filter:
        if at.tops != at.bottoms - 1:
            raise Misfit(f"has {at.tops} tops for {at.bottoms} bottoms", "one top for each bottom but the last")
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        chosen = bottoms[-1]
        if count(chosen, 1) != 1:
            raise Misfit(f"the last bottom is {show(chosen)}", "one number per item is possible")
        for number, shape in enumerate(bottoms[:-1]):
            if shape[:1] != chosen[:1]:
                given = f"bottom {number} is {show(shape)}, the last is {show(chosen)}"
                raise Misfit(given, "as many items are needed")
        # As Caffe's own first reshape has it: room for all.
        return Inferred(bottoms[:-1])

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Filter")

    def onnx(self, g: Onnx) -> None:
        flat = g.op("Reshape", [g.bottoms[-1], g.ints([-1])])
        chosen = g.op("Cast", [flat], to=BOOL)
        for bottom, top in zip(g.bottoms, g.tops, strict=False):
            g.op("Compress", [bottom, chosen], [top], axis=0)

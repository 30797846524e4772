"""Axpy: a scaled sum."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import same_shapes, show


@dataclass(frozen=True, slots=True)
class Axpy(Layer):
    """a * x + y, with one number of a for each channel of each picture.

    hujie-frank/SENet: axpy_layer.cpp.
    """

    type = "Axpy"
    bottoms = (3, 3)
    fork = "SENet"
    mirrors = "axpy_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> Axpy:
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        same_shapes(bottoms[1:])
        if bottoms[0][:2] != bottoms[1][:2] or any(side != 1 for side in bottoms[0][2:]):
            raise Misfit(f"bottom 0 is {show(bottoms[0])}, bottom 1 {show(bottoms[1])}", "one number per channel")
        return Inferred(bottoms[1:2])

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Axpy")

    def onnx(self, g: Onnx) -> None:
        a = g.bottoms[0]
        if len(g.shapes[0]) != len(g.shapes[1]):
            a = g.op("Reshape", [a, g.ints((-1, g.shapes[0][1], *(1,) * (len(g.shapes[1]) - 2)))])
        g.op("Add", [g.op("Mul", [a, g.bottoms[1]]), g.bottoms[2]], g.tops)

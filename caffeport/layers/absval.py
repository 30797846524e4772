"""AbsVal."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import distinct, unary


@dataclass(frozen=True, slots=True)
class AbsVal(Layer):
    """|x|; the gradient at 0 is 0."""

    type = "AbsVal"
    mirrors = "absval_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> AbsVal:
        distinct(f)
        return cls()

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Absolute")

    def onnx(self, g: Onnx) -> None:
        g.op("Abs", g.bottoms, g.tops)

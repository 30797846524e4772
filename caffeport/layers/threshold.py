"""Threshold."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary
from caffeport.layers.nodes import FLOAT


@dataclass(frozen=True, slots=True)
class Threshold(Layer):
    """1 where x is above the threshold, else 0; it has no gradient."""

    type = "Threshold"
    mirrors = "threshold_layer.cpp"

    threshold: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Threshold:
        return cls(f.sub("threshold_param").float("threshold"))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Threshold", (self.threshold,))

    def onnx(self, g: Onnx) -> None:
        above = g.op("Greater", [g.bottoms[0], g.floats(self.threshold)])
        g.op("Cast", [above], g.tops, to=FLOAT)

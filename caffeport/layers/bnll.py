"""BNLL."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class BNLL(Layer):
    """log(1 + exp(x))."""

    type = "BNLL"
    mirrors = "bnll_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> BNLL:
        return cls()

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.Softplus")

    def onnx(self, g: Onnx) -> None:
        g.op("Softplus", g.bottoms, g.tops)

"""Swish."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class Swish(Layer):
    """x / (1 + exp(-beta * x))."""

    type = "Swish"
    mirrors = "swish_layer.cpp"

    beta: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Swish:
        p = f.sub("swish_param")
        p.ignore("engine")  # cuDNN computes the same
        return cls(p.float("beta"))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.SiLU") if self.beta == 1 else Call("Swish", (self.beta,))

    def onnx(self, g: Onnx) -> None:
        x = g.bottoms[0]
        steep = x if self.beta == 1 else g.op("Mul", [x, g.floats(self.beta)])
        g.op("Mul", [x, g.op("Sigmoid", [steep])], g.tops)

"""Sigmoid."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    type = "Sigmoid"
    mirrors = "sigmoid_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> Sigmoid:
        f.sub("sigmoid_param").ignore("engine")  # cuDNN computes the same
        return cls()

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.Sigmoid")

    def onnx(self, g: Onnx) -> None:
        g.op("Sigmoid", g.bottoms, g.tops)

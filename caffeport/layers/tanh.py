"""TanH."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class TanH(Layer):
    """tanh(x)."""

    type = "TanH"
    mirrors = "tanh_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> TanH:
        f.sub("tanh_param").ignore("engine")  # cuDNN computes the same
        return cls()

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.Tanh")

    def onnx(self, g: Onnx) -> None:
        g.op("Tanh", g.bottoms, g.tops)

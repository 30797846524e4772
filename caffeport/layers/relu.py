"""ReLU, leaky where negative_slope says so."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class ReLU(Layer):
    """max(x, 0) + negative_slope * min(x, 0)."""

    type = "ReLU"
    mirrors = "relu_layer.cpp"

    slope: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> ReLU:
        p = f.sub("relu_param")
        p.ignore("engine")  # cuDNN computes the same
        return cls(p.float("negative_slope"))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.LeakyReLU", (self.slope,)) if self.slope else Call("nn.ReLU")

    def onnx(self, g: Onnx) -> None:
        if self.slope:
            g.op("LeakyRelu", g.bottoms, g.tops, alpha=self.slope)
        else:
            g.op("Relu", g.bottoms, g.tops)

"""ELU."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class ELU(Layer):
    """x above 0, alpha * (exp(x) - 1) below."""

    type = "ELU"
    mirrors = "elu_layer.cpp"

    alpha: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> ELU:
        return cls(f.sub("elu_param").float("alpha"))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.ELU", (), {"alpha": self.alpha} if self.alpha != 1 else {})

    def onnx(self, g: Onnx) -> None:
        g.op("Elu", g.bottoms, g.tops, alpha=self.alpha)

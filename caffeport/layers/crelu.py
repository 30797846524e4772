"""CReLU: both halves of the axis, each through a ReLU."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site


@dataclass(frozen=True, slots=True)
class CReLU(Layer):
    """max(x, 0) and, in as many channels behind them, max(-x, 0).

    Shang et al. 2016, "Understanding and Improving Convolutional Neural Networks via Concatenated Rectified Linear
    Units"; winggan/caffe: crelu_layer.cpp, whose CPU code agrees for a batch of one only.
    """

    type = "CReLU"
    fork = "winggan"
    mirrors = "crelu_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> CReLU:
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[0]) < 2:
            raise Misfit(f"the bottom has {len(bottoms[0])} axes", "2 or more")
        return Inferred(((bottoms[0][0], 2 * bottoms[0][1], *bottoms[0][2:]),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("CReLU")

    def onnx(self, g: Onnx) -> None:
        both = g.op("Concat", [g.bottoms[0], g.op("Neg", g.bottoms)], axis=1)
        g.op("Relu", [both], g.tops)

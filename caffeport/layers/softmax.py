"""Softmax over one axis."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.shapes import axis_of


@dataclass(frozen=True, slots=True)
class Softmax(Layer):
    """exp(x) over its sum along `axis`, the maximum subtracted first."""

    type = "Softmax"
    mirrors = "softmax_layer.cpp"

    axis: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Softmax:
        p = f.sub("softmax_param")
        p.ignore("engine")  # cuDNN computes the same
        return cls(p.int("axis"))

    def infer(self, bottoms: Shapes) -> Inferred:
        axis_of(self.axis, len(bottoms[0]))
        return Inferred(bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.Softmax", (), {"dim": axis_of(self.axis, len(bottoms[0]))})

    def onnx(self, g: Onnx) -> None:
        g.op("Softmax", g.bottoms, g.tops, axis=axis_of(self.axis, len(g.shapes[0])))

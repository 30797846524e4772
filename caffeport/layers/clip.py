"""Clip."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary
from caffeport.layers.nodes import chain


@dataclass(frozen=True, slots=True)
class Clip(Layer):
    """max(min, min(x, max)); the gradient passes between the two bounds, both included."""

    type = "Clip"
    mirrors = "clip_layer.cpp"

    least: float
    most: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Clip:
        p = f.sub("clip_param")
        return cls(p.float("min"), p.float("max"))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Clip", (self.least, self.most))

    def onnx(self, g: Onnx) -> None:
        if self.least <= self.most:
            g.op("Clip", [g.bottoms[0], g.floats(self.least), g.floats(self.most)], g.tops)
        else:
            # Bounds the wrong way round: Caffe lets the lower one win, ONNX leaves it open.
            chain(g, ("Min", self.most), ("Max", self.least))

"""Split: one blob under several names."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shapes, Site


@dataclass(frozen=True, slots=True)
class Split(Layer):
    """Hands its bottom on once per top. Caffe inserts these by itself; a net may hold them too."""

    type = "Split"
    tops = (1, MANY)
    mirrors = "split_layer.cpp"

    copies: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Split:
        return cls(at.tops)

    def infer(self, bottoms: Shapes) -> Inferred:
        return Inferred(bottoms * self.copies)

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Split", (self.copies,))

    def onnx(self, g: Onnx) -> None:
        for top in g.tops:
            g.op("Identity", g.bottoms, [top])

"""BatchReindex."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.nodes import INT64
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class BatchReindex(Layer):
    """Takes items of the first bottom in the order that the second, a list of indices, says."""

    type = "BatchReindex"
    bottoms = (2, 2)
    mirrors = "batch_reindex_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> BatchReindex:
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[1]) != 1:
            raise Misfit(f"bottom 1 is {show(bottoms[1])}", "one axis is possible")
        return Inferred(((*bottoms[1], *bottoms[0][1:]),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("BatchReindex")

    def onnx(self, g: Onnx) -> None:
        g.op("Gather", [g.bottoms[0], g.op("Cast", [g.bottoms[1]], to=INT64)], g.tops, axis=0)

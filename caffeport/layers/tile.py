"""Tile."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.shapes import axis_of


@dataclass(frozen=True, slots=True)
class Tile(Layer):
    """The bottom `tiles` times, one behind the other along `axis`."""

    type = "Tile"
    mirrors = "tile_layer.cpp"

    axis: int
    tiles: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Tile:
        p = f.sub("tile_param")
        return cls(p.int("axis"), positive(p, "tiles"))

    def infer(self, bottoms: Shapes) -> Inferred:
        axis = axis_of(self.axis, len(bottoms[0]))
        return Inferred(((*bottoms[0][:axis], bottoms[0][axis] * self.tiles, *bottoms[0][axis + 1 :]),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Tile", (axis_of(self.axis, len(bottoms[0])), self.tiles))

    def onnx(self, g: Onnx) -> None:
        axis = axis_of(self.axis, len(g.shapes[0]))
        repeats = [self.tiles if place == axis else 1 for place in range(len(g.shapes[0]))]
        g.op("Tile", [g.bottoms[0], g.ints(repeats)], g.tops)

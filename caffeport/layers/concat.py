"""Concat: bottoms one behind the other along one axis."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import axis_of, show


@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """Joins its bottoms along `axis` (or the older concat_dim)."""

    type = "Concat"
    bottoms = (1, MANY)
    mirrors = "concat_layer.cpp"

    axis: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Concat:
        p = f.sub("concat_param")
        if not p.has("concat_dim"):
            return cls(p.int("axis"))
        if p.has("axis"):
            raise p.refuse("concat_dim", "is set beside axis", "Caffe takes one of the two")
        return cls(p.int("concat_dim"))

    def infer(self, bottoms: Shapes) -> Inferred:
        axis = axis_of(self.axis, len(bottoms[0]))
        rest = (*bottoms[0][:axis], *bottoms[0][axis + 1 :])
        for number, shape in enumerate(bottoms):
            if (*shape[:axis], *shape[axis + 1 :]) != rest or len(shape) != len(bottoms[0]):
                raise Misfit(
                    f"bottom {number} is {show(shape)}, bottom 0 is {show(bottoms[0])}",
                    f"they may differ on axis {axis} only",
                )
        return Inferred(((*bottoms[0][:axis], sum(shape[axis] for shape in bottoms), *bottoms[0][axis + 1 :]),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Concat", (axis_of(self.axis, len(bottoms[0])),))

    def onnx(self, g: Onnx) -> None:
        g.op("Concat", g.bottoms, g.tops, axis=axis_of(self.axis, len(g.shapes[0])))

"""ArgMax."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import options, positive
from caffeport.layers.nodes import FLOAT
from caffeport.layers.shapes import axis_of, count, show


@dataclass(frozen=True, slots=True)
class ArgMax(Layer):
    """Places (as floats) of the top_k largest values along `axis`, or over each item; of equals the last comes first.

    With out_max_val the values: instead of the places along an axis, beside them without one.
    """

    type = "ArgMax"
    mirrors = "argmax_layer.cpp"

    axis: int | None
    top_k: int
    values: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> ArgMax:
        p = f.sub("argmax_param")
        axis = p.int("axis") if p.has("axis") else None
        return cls(axis, positive(p, "top_k"), p.bool("out_max_val"))

    def infer(self, bottoms: Shapes) -> Inferred:
        shape, axis = bottoms[0], self._axis(bottoms)
        if not shape:
            raise Misfit("the bottom is a scalar", "Caffe wants items")
        room = count(shape, 1) if axis is None else shape[axis]
        if self.top_k > room:
            raise Misfit(f"top_k is {self.top_k} on a bottom of {show(shape)}", f"up to {room} is possible")
        if axis is None:
            return Inferred(((shape[0], 1 + self.values, self.top_k, *(1,) * (len(shape) - 3)),))
        return Inferred(((*shape[:axis], self.top_k, *shape[axis + 1 :]),))

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = options(top_k=(self.top_k, 1), values=(self.values, False))
        return Call("ArgMax", (self._axis(bottoms),), kwargs)

    def onnx(self, g: Onnx) -> None:
        axis = self._axis(g.shapes)
        rows = g.op("Reshape", [g.bottoms[0], g.ints((0, -1))]) if axis is None else g.bottoms[0]
        along = 1 if axis is None else axis
        side = count(g.shapes[0], 1) if axis is None else g.shapes[0][axis]
        # TopK puts the first of equals first, Caffe the last: look at it from the other end.
        ends = [g.ints([last]) for last in (-1, -side - 1, along, -1)]
        values, found = g.ops("TopK", [g.op("Slice", [rows, *ends]), g.ints([self.top_k])], 2, axis=along)
        places = g.op("Cast", [g.op("Sub", [g.ints([side - 1]), found])], None, to=FLOAT)
        if axis is not None:
            g.op("Identity", [values if self.values else places], g.tops)
            return
        both = g.op("Concat", [places, values], axis=1) if self.values else places
        g.op("Reshape", [both, g.ints((0, *g.top_shapes[0][1:]))], g.tops)

    def _axis(self, bottoms: Shapes) -> int | None:
        return None if self.axis is None else axis_of(self.axis, len(bottoms[0]))

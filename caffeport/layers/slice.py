"""Slice."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import axis_of


@dataclass(frozen=True, slots=True)
class Slice(Layer):
    """Cuts its bottom along `axis` (or the older slice_dim), at slice_point or into equal parts."""

    type = "Slice"
    tops = (1, MANY)
    mirrors = "slice_layer.cpp"

    axis: int
    points: tuple[int, ...]
    parts: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Slice:
        p = f.sub("slice_param")
        if p.has("slice_dim") and p.has("axis"):
            raise p.refuse("slice_dim", "is set beside axis", "Caffe takes one of the two")
        points = p.ints("slice_point")
        if points and len(points) != at.tops - 1:
            given = f"is given {len(points)} times for {at.tops} tops"
            raise p.refuse("slice_point", given, "one less than tops, or none")
        if any(after <= before for before, after in zip((0, *points), points, strict=False)):
            raise p.refuse("slice_point", f"is {points}", "each must lie behind the one before, the first above 0")
        return cls(p.int("slice_dim") if p.has("slice_dim") else p.int("axis"), points, at.tops)

    def infer(self, bottoms: Shapes) -> Inferred:
        axis = axis_of(self.axis, len(bottoms[0]))
        sizes = self._sizes(bottoms[0][axis])
        return Inferred(tuple((*bottoms[0][:axis], size, *bottoms[0][axis + 1 :]) for size in sizes))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Slice", (axis_of(self.axis, len(bottoms[0])), self.points or self.parts))

    def onnx(self, g: Onnx) -> None:
        axis = axis_of(self.axis, len(g.shapes[0]))
        if self.parts == 1:
            g.op("Identity", g.bottoms, g.tops)
            return
        sizes = [g.ints(self._sizes(g.shapes[0][axis]))] if self.points else []
        g.op("Split", [g.bottoms[0], *sizes], g.tops, axis=axis)

    def _sizes(self, side: int) -> tuple[int, ...]:
        if not self.points:
            if side % self.parts:
                raise Misfit(f"cuts {side} into {self.parts} equal parts", "give slice_point for unequal ones")
            return (side // self.parts,) * self.parts
        if self.points[-1] >= side:
            raise Misfit(f"slice_point is {self.points} on a side of {side}", f"up to {side - 1} is possible")
        return tuple(end - start for start, end in zip((0, *self.points), (*self.points, side), strict=True))

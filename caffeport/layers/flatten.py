"""Flatten: a run of axes becomes one."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import distinct
from caffeport.layers.shapes import axis_of, count


@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """The axes from `axis` to `end_axis` (both included) become one."""

    type = "Flatten"
    mirrors = "flatten_layer.cpp"

    axis: int
    end: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Flatten:
        distinct(f)
        p = f.sub("flatten_param")
        return cls(p.int("axis"), p.int("end_axis"))

    def infer(self, bottoms: Shapes) -> Inferred:
        axis, end = self._run(bottoms)
        flat = count(bottoms[0], axis, end + 1)
        return Inferred(((*bottoms[0][:axis], flat, *bottoms[0][end + 1 :]),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.Flatten", self._run(bottoms))

    def onnx(self, g: Onnx) -> None:
        axis, end = self._run(g.shapes)
        if axis == 1 and end == len(g.shapes[0]) - 1:
            g.op("Flatten", g.bottoms, g.tops, axis=1)
        elif axis > 0:
            # 0 copies a side from the bottom: the batch stays free.
            sides = (*(0,) * axis, g.top_shapes[0][axis], *g.shapes[0][end + 1 :])
            g.op("Reshape", [g.bottoms[0], g.ints(sides)], g.tops)
        else:
            g.op("Reshape", [g.bottoms[0], g.ints((-1, *g.shapes[0][end + 1 :]))], g.tops)

    def _run(self, bottoms: Shapes) -> tuple[int, int]:
        axis = axis_of(self.axis, len(bottoms[0]))
        end = axis_of(self.end, len(bottoms[0]), "end_axis")
        if end < axis:
            raise Misfit(f"end_axis is {end}, before axis {axis}", "it may not come before")
        return axis, end

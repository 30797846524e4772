"""Reshape."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import distinct
from caffeport.layers.shapes import axis_of, show


@dataclass(frozen=True, slots=True)
class Reshape(Layer):
    """Puts other sides in the place of `num_axes` axes from `axis` on: 0 copies the bottom's, -1 takes what is left."""

    type = "Reshape"
    mirrors = "reshape_layer.cpp"

    sides: tuple[int, ...]
    axis: int
    num_axes: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Reshape:
        distinct(f)
        p = f.sub("reshape_param")
        sides, num_axes = p.sub("shape").ints("dim"), p.int("num_axes")
        if any(side < -1 for side in sides) or sides.count(-1) > 1:
            raise p.refuse("shape", f"is {sides}", "sides, 0 to copy, and at most one -1 are possible")
        if num_axes < -1:
            raise p.refuse("num_axes", f"is {num_axes}", "-1 or more is possible")
        return cls(sides, p.int("axis"), num_axes)

    def infer(self, bottoms: Shapes) -> Inferred:
        shape, (start, end) = bottoms[0], self._span(bottoms)
        if any(not side and start + i >= len(shape) for i, side in enumerate(self.sides)):
            raise Misfit(f"copies (0) a side that {show(shape)} does not have")
        sides = [side or shape[start + i] for i, side in enumerate(self.sides)]
        top = [*shape[:start], *sides, *shape[end:]]
        if -1 in top:
            rest = -prod(top)
            top[top.index(-1)] = prod(shape) // rest if rest else 0
        if prod(top) != prod(shape):
            raise Misfit(f"makes {show(tuple(top))} of {show(shape)}", "the counts must agree")
        return Inferred((tuple(top),))

    def torch(self, bottoms: Shapes) -> Call:
        start, end = self._span(bottoms)
        return Call("Reshape", (self.sides,), {} if (start, end) == (0, len(bottoms[0])) else {"span": (start, end)})

    def onnx(self, g: Onnx) -> None:
        start, end = self._span(g.shapes)
        behind = list(g.shapes[0][end:])
        if end == 0 and behind and -1 not in self.sides:
            # New axes in front: the batch moves behind them and stays free.
            behind[0] = -1
        g.op("Reshape", [g.bottoms[0], g.ints((*(0,) * start, *self.sides, *behind))], g.tops)

    def _span(self, bottoms: Shapes) -> tuple[int, int]:
        start = axis_of(self.axis, len(bottoms[0]), end=True)
        end = len(bottoms[0]) if self.num_axes == -1 else start + self.num_axes
        if end > len(bottoms[0]):
            raise Misfit(f"axis {start} and num_axes {self.num_axes} reach past a bottom of {len(bottoms[0])} axes")
        return start, end

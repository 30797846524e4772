"""Permute: the axes in another order."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site


@dataclass(frozen=True, slots=True)
class Permute(Layer):
    """The axes in the order given; those not named follow in their own order.

    weiliu89/caffe, branch ssd: permute_layer.cpp.
    """

    type = "Permute"
    fork = "SSD"
    mirrors = "permute_layer.cpp"

    order: tuple[int, ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> Permute:
        p = f.sub("permute_param")
        order = p.ints("order")
        if len(set(order)) < len(order):
            raise p.refuse("order", f"is {list(order)}", "each axis once")
        return cls(order)

    def infer(self, bottoms: Shapes) -> Inferred:
        return Inferred((tuple(bottoms[0][axis] for axis in self._all(bottoms[0])),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Permute", self._all(bottoms[0]))

    def onnx(self, g: Onnx) -> None:
        g.op("Transpose", g.bottoms, g.tops, perm=self._all(g.shapes[0]))

    def _all(self, bottom: Shape) -> tuple[int, ...]:
        if max(self.order, default=0) >= len(bottom):
            raise Misfit(f"order is {list(self.order)} on a bottom of {len(bottom)} axes", "axes of the bottom")
        return (*self.order, *(axis for axis in range(len(bottom)) if axis not in self.order))

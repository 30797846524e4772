"""Bias: a sum with a blob that spans some of the axes."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.spans import broadcast, read_span, spanned


@dataclass(frozen=True, slots=True)
class Bias(Layer):
    """x + bias, the blob aligned from `axis` on; the bias is learned or the second bottom."""

    type = "Bias"
    bottoms = (1, 2)
    mirrors = "bias_layer.cpp"

    axis: int
    num_axes: int
    learned: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Bias:
        p = f.sub("bias_param")
        p.ignore("filler")  # what training from scratch begins with
        axis, num_axes = read_span(p)
        return cls(axis, num_axes, at.bottoms == 1)

    def infer(self, bottoms: Shapes) -> Inferred:
        shape = spanned(self.axis, self.num_axes, bottoms)
        return Inferred(bottoms[:1], (shape,) * self.learned)

    def torch(self, bottoms: Shapes) -> Call:
        shape = spanned(self.axis, self.num_axes, bottoms)
        kwargs = {} if self.learned else {"learned": False}
        return Call("Bias", (shape, broadcast(self.axis, shape, bottoms)), kwargs, ("bias",) * self.learned)

    def onnx(self, g: Onnx) -> None:
        shape = spanned(self.axis, self.num_axes, g.shapes)
        term = g.params[0] if self.learned else g.bottoms[1]
        wide = g.ints(broadcast(self.axis, shape, g.shapes))
        g.op("Add", [g.bottoms[0], g.op("Reshape", [term, wide])], g.tops)

"""Scale: a product with a blob that spans some of the axes, and a sum with another."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.spans import broadcast, read_span, spanned


@dataclass(frozen=True, slots=True)
class Scale(Layer):
    """x * scale (+ bias), the blob aligned from `axis` on; the scale is learned or the second bottom."""

    type = "Scale"
    bottoms = (1, 2)
    mirrors = "scale_layer.cpp"

    axis: int
    num_axes: int
    bias: bool
    learned: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Scale:
        p = f.sub("scale_param")
        p.ignore("filler", "bias_filler")  # what training from scratch begins with
        axis, num_axes = read_span(p)
        return cls(axis, num_axes, p.bool("bias_term"), at.bottoms == 1)

    def infer(self, bottoms: Shapes) -> Inferred:
        shape = spanned(self.axis, self.num_axes, bottoms)
        params = (shape,) * (self.learned + self.bias)
        return Inferred(bottoms[:1], params)

    def torch(self, bottoms: Shapes) -> Call:
        shape = spanned(self.axis, self.num_axes, bottoms)
        state = ("weight",) * self.learned + ("bias",) * self.bias
        kwargs = options(bias=(self.bias, False), learned=(self.learned, True))
        return Call("Scale", (shape, broadcast(self.axis, shape, bottoms)), kwargs, state)

    def onnx(self, g: Onnx) -> None:
        shape = spanned(self.axis, self.num_axes, g.shapes)
        wide = g.ints(broadcast(self.axis, shape, g.shapes))
        factor = g.params[0] if self.learned else g.bottoms[1]
        factor = g.op("Reshape", [factor, wide])
        if not self.bias:
            g.op("Mul", [g.bottoms[0], factor], g.tops)
            return
        scaled = g.op("Mul", [g.bottoms[0], factor])
        g.op("Add", [scaled, g.op("Reshape", [g.params[-1], wide])], g.tops)

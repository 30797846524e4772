"""InnerProduct: a fully connected layer over everything behind an axis."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import options, positive
from caffeport.layers.nodes import beside
from caffeport.layers.shapes import axis_of, count


@dataclass(frozen=True, slots=True)
class InnerProduct(Layer):
    """Fully connected: all axes from `axis` on are flattened; weights are num_output x K, or K x num_output."""

    type = "InnerProduct"
    mirrors = "inner_product_layer.cpp"

    num_output: int
    axis: int
    transpose: bool
    bias: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> InnerProduct:
        p = f.sub("inner_product_param")
        p.ignore("weight_filler", "bias_filler")  # what training from scratch begins with
        # Caffe's fillers stop at weights without a number.
        return cls(positive(p, "num_output"), p.int("axis"), p.bool("transpose"), p.bool("bias_term"))

    def infer(self, bottoms: Shapes) -> Inferred:
        axis = axis_of(self.axis, len(bottoms[0]))
        fan_in = count(bottoms[0], axis)
        weight = (fan_in, self.num_output) if self.transpose else (self.num_output, fan_in)
        top = (*bottoms[0][:axis], self.num_output)
        return Inferred((top,), (weight, (self.num_output,)) if self.bias else (weight,))

    def torch(self, bottoms: Shapes) -> Call:
        axis = axis_of(self.axis, len(bottoms[0]))
        kwargs = options(bias=(self.bias, True), axis=(axis, 1), transpose=(self.transpose, False))
        state = ("weight", "bias") if self.bias else ("weight",)
        return Call("InnerProduct", (count(bottoms[0], axis), self.num_output), kwargs, state)

    def onnx(self, g: Onnx) -> None:
        axis = axis_of(self.axis, len(g.shapes[0]))
        rows = g.op("Flatten", g.bottoms, axis=axis) if len(g.shapes[0]) > 2 or axis != 1 else g.bottoms[0]
        if axis == 1:
            g.op("Gemm", [rows, *g.params], g.tops, transB=int(not self.transpose))
            return
        product = g.op("Gemm", [rows, *g.params], transB=int(not self.transpose))
        # The leading sides come from the bottom itself, so that the batch stays free.
        g.op("Reshape", [product, beside(g, g.bottoms[0], axis, [self.num_output])], g.tops)

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        return prod(inferred.params[0]) * prod(inferred.tops[0][:-1])

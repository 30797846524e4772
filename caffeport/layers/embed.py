"""Embed."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.nodes import INT64


@dataclass(frozen=True, slots=True)
class Embed(Layer):
    """Each number of the bottom picks a row of the input_dim x num_output weights (+ bias)."""

    type = "Embed"
    mirrors = "embed_layer.cpp"

    input_dim: int
    num_output: int
    bias: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Embed:
        p = f.sub("embed_param")
        p.ignore("weight_filler", "bias_filler")  # what training from scratch begins with
        return cls(positive(p, "input_dim"), positive(p, "num_output"), p.bool("bias_term"))

    def infer(self, bottoms: Shapes) -> Inferred:
        params: Shapes = ((self.input_dim, self.num_output), (self.num_output,))
        return Inferred(((*bottoms[0], self.num_output),), params[: 1 + self.bias])

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = {} if self.bias else {"bias": False}
        return Call("Embed", (self.input_dim, self.num_output), kwargs, ("weight", "bias")[: 1 + self.bias])

    def onnx(self, g: Onnx) -> None:
        places = g.op("Cast", g.bottoms, to=INT64)
        rows = g.op("Gather", [g.params[0], places], None if self.bias else g.tops)
        if self.bias:
            g.op("Add", [rows, g.params[1]], g.tops)

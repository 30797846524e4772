"""Reduction."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.shapes import axis_of

_ONNX = {"ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}


@dataclass(frozen=True, slots=True)
class Reduction(Layer):
    """coeff times the SUM, ASUM (of magnitudes), SUMSQ (of squares) or MEAN over all axes from `axis` on."""

    type = "Reduction"
    mirrors = "reduction_layer.cpp"

    operation: str
    axis: int
    coeff: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Reduction:
        p = f.sub("reduction_param")
        return cls(p.enum("operation"), p.int("axis"), p.float("coeff"))

    def infer(self, bottoms: Shapes) -> Inferred:
        return Inferred((bottoms[0][: axis_of(self.axis, len(bottoms[0]))],))

    def torch(self, bottoms: Shapes) -> Call:
        axis = axis_of(self.axis, len(bottoms[0]))
        return Call("Reduction", (self.operation, axis), {"coeff": self.coeff} if self.coeff != 1 else {})

    def onnx(self, g: Onnx) -> None:
        axes = tuple(range(axis_of(self.axis, len(g.shapes[0])), len(g.shapes[0])))
        outputs = g.tops if self.coeff == 1 else None
        if self.operation == "SUM":
            reduced = g.op("ReduceSum", [g.bottoms[0], g.ints(axes)], outputs, keepdims=0)
        else:
            reduced = g.op(_ONNX[self.operation], g.bottoms, outputs, axes=axes, keepdims=0)
        if self.coeff != 1:
            g.op("Mul", [reduced, g.floats(self.coeff)], g.tops)

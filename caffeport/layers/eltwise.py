"""Eltwise: product, weighted sum or maximum of bottoms of one shape."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.shapes import same_shapes


@dataclass(frozen=True, slots=True)
class Eltwise(Layer):
    """PROD, SUM (with coefficients) or MAX of its bottoms, element by element."""

    type = "Eltwise"
    bottoms = (2, MANY)
    mirrors = "eltwise_layer.cpp"

    operation: str
    coeff: tuple[float, ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> Eltwise:
        p = f.sub("eltwise_param")
        # stable_prod_grad chooses between two ways to compute the same gradient.
        p.ignore("stable_prod_grad")
        operation, coeff = p.enum("operation"), p.floats("coeff")
        if coeff and operation != "SUM":
            raise p.refuse("coeff", f"is set with operation: {operation}", "Caffe takes coefficients with SUM only")
        if len(coeff) not in (0, at.bottoms):
            raise p.refuse("coeff", f"is given {len(coeff)} times for {at.bottoms} bottoms", "one per bottom, or none")
        return cls(operation, coeff)

    def infer(self, bottoms: Shapes) -> Inferred:
        same_shapes(bottoms)
        return Inferred(bottoms[:1])

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Eltwise", (self.operation,), {"coeff": self.coeff} if self._weighted() else {})

    def onnx(self, g: Onnx) -> None:
        terms = list(g.bottoms)
        if self._weighted():
            terms = [x if c == 1 else g.op("Mul", [x, g.floats(c)]) for c, x in zip(self.coeff, terms, strict=True)]
        if self.operation != "PROD":
            g.op("Sum" if self.operation == "SUM" else "Max", terms, g.tops)
            return
        product = terms[0]
        for factor in terms[1:-1]:
            product = g.op("Mul", [product, factor])
        g.op("Mul", [product, terms[-1]], g.tops)

    def _weighted(self) -> bool:
        return any(c != 1 for c in self.coeff)

"""HingeLoss: one against all, linear or squared."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.losses import normalised, one_label_a_row, total_node
from caffeport.layers.nodes import INT64
from caffeport.layers.shapes import count


@dataclass(frozen=True, slots=True)
class HingeLoss(Layer):
    """Sum of max(0, 1 - s x), s = 1 for the label's class and -1 for the others, squared with norm L2, over N."""

    type = "HingeLoss"
    bottoms = (2, 2)
    mirrors = "hinge_loss_layer.cpp"
    loss = True

    norm: str

    @classmethod
    def read(cls, f: Fields, at: Site) -> HingeLoss:
        # Caffe normalises this loss by N whatever loss_param says.
        f.ignore("loss_param")
        return cls(f.sub("hinge_loss_param").enum("norm"))

    def infer(self, bottoms: Shapes) -> Inferred:
        one_label_a_row(bottoms)
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("HingeLoss", (), options(norm=(self.norm, "L1")))

    def onnx(self, g: Onnx) -> None:
        classes = count(g.shapes[0], 1)
        rows = g.op("Reshape", [g.bottoms[0], g.ints((-1, classes))])
        label = g.op("Reshape", [g.op("Cast", [g.bottoms[1]], to=INT64), g.ints((-1, 1))])
        own = g.op("Equal", [label, g.ints(range(classes))])
        signed = g.op("Mul", [rows, g.op("Where", [own, g.floats(-1.0), g.floats(1.0)])])
        hinge = g.op("Relu", [g.op("Add", [signed, g.floats(1.0)])])
        each = g.op("Mul", [hinge, hinge]) if self.norm == "L2" else hinge
        normalised(g, total_node(g, each, None), "FULL", label, 1)

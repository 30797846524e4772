"""MultinomialLogisticLoss: the cross entropy of probabilities with labels."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.losses import normalised, one_label_a_row, total_node
from caffeport.layers.nodes import INT64
from caffeport.layers.shapes import count


@dataclass(frozen=True, slots=True)
class MultinomialLogisticLoss(Layer):
    """Mean of -log(max(p[label], 1e-20)) over the batch; the bottom holds probabilities."""

    type = "MultinomialLogisticLoss"
    bottoms = (2, 2)
    mirrors = "multinomial_logistic_loss_layer.cpp"
    loss = True

    @classmethod
    def read(cls, f: Fields, at: Site) -> MultinomialLogisticLoss:
        # Caffe normalises this loss by N whatever loss_param says.
        f.ignore("loss_param")
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        one_label_a_row(bottoms)
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("MultinomialLogisticLoss")

    def onnx(self, g: Onnx) -> None:
        rows = g.op("Reshape", [g.bottoms[0], g.ints((-1, count(g.shapes[0], 1)))])
        label = g.op("Reshape", [g.op("Cast", [g.bottoms[1]], to=INT64), g.ints((-1, 1))])
        own = g.op("Max", [g.op("GatherElements", [rows, label], axis=1), g.floats(1e-20)])
        normalised(g, total_node(g, g.op("Neg", [g.op("Log", [own])]), None), "FULL", label, 1)

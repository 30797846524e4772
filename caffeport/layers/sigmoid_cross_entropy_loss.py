"""SigmoidCrossEntropyLoss: the cross entropy of sigmoids with targets."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.losses import kept_node, normalised, read_normalization, reshape_free, same_batch, total_node
from caffeport.layers.nodes import INT64
from caffeport.layers.shapes import count, show


@dataclass(frozen=True, slots=True)
class SigmoidCrossEntropyLoss(Layer):
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), summed and normalised (by the batch unless told otherwise)."""

    type = "SigmoidCrossEntropyLoss"
    bottoms = (2, 2)
    mirrors = "sigmoid_cross_entropy_loss_layer.cpp"
    loss = True

    ignore: int | None
    normalization: str

    @classmethod
    def read(cls, f: Fields, at: Site) -> SigmoidCrossEntropyLoss:
        return cls(*read_normalization(f, "BATCH_SIZE"))

    def infer(self, bottoms: Shapes) -> Inferred:
        same_batch(bottoms)
        if count(bottoms[0]) != count(bottoms[1]):
            shapes = f"bottom 0 is {show(bottoms[0])}, bottom 1 is {show(bottoms[1])}"
            raise Misfit(shapes, "their counts must be equal")
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        normalization = (self.normalization, "BATCH_SIZE")
        return Call("SigmoidCrossEntropyLoss", (), options(ignore=(self.ignore, None), normalization=normalization))

    def onnx(self, g: Onnx) -> None:
        x, target = g.bottoms
        if g.shapes[0] != g.shapes[1]:
            target = reshape_free(g, target, g.shapes[0])
        kept = kept_node(g, g.op("Cast", [target], to=INT64), self.ignore) if self.ignore is not None else None
        # softplus(x) - x t is the same sum without a logarithm of 0.
        each = g.op("Sub", [g.op("Softplus", [x]), g.op("Mul", [x, target])])
        normalised(g, total_node(g, each, kept), self.normalization, x, count(g.shapes[0], 1), kept)

"""SoftmaxWithLoss: the cross entropy of a softmax with labels."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.class_losses import Labelled
from caffeport.layers.nodes import FLT_MIN


@dataclass(frozen=True, slots=True)
class SoftmaxWithLoss(Layer):
    """-log of the softmax at the label, summed over all places and normalised; the softmax is a possible second top.

    SegNet's fork (alexgkendall/caffe-segnet, softmax_loss_layer.cpp) weighs each place by its label's class_weighting.
    """

    type = "SoftmaxWithLoss"
    bottoms = (2, 2)
    tops = (1, 2)
    mirrors = "softmax_loss_layer.cpp"
    loss = True

    labelled: Labelled
    weights: tuple[float, ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> SoftmaxWithLoss:
        p = f.sub("softmax_param")
        p.ignore("engine")  # cuDNN computes the same softmax
        return cls(Labelled.read(f, at, p.int("axis")), _class_weights(f.sub("loss_param")))

    def infer(self, bottoms: Shapes) -> Inferred:
        classes = self.labelled.classes(bottoms)
        if len(self.weights) not in (0, classes):
            raise Misfit(f"class_weighting is given {len(self.weights)} times for {classes} classes", "once per class")
        return self.labelled.tops(bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        return self.labelled.call("SoftmaxWithLoss", bottoms, weights=(self.weights, ()))

    def onnx(self, g: Onnx) -> None:
        labels = self.labelled.nodes(g)
        own = g.op("GatherElements", [labels.prob, labels.chosen], axis=labels.axis)
        each = g.op("Neg", [g.op("Log", [g.op("Max", [own, g.floats(FLT_MIN)])])])
        if self.weights:
            each = g.op("Mul", [each, g.op("Gather", [g.floats(self.weights), labels.chosen], axis=0)])
        self.labelled.finish(g, labels, each)


def _class_weights(p: Fields) -> tuple[float, ...]:
    """SegNet's weights; without a list its older versions count the labels of each batch, which nobody publishes."""
    weights = p.floats("class_weighting")
    if not p.bool("weight_by_label_freqs", False):
        return ()
    if not weights:
        raise p.refuse("weight_by_label_freqs", "is true without a class_weighting", "one class_weighting a class")
    return weights

"""SoftmaxWithLoss: the cross entropy of a softmax with labels."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.losses import (
    chosen_node,
    index_node,
    kept_node,
    normalised,
    one_label_each,
    options,
    read_normalization,
    same_batch,
    total_node,
)
from caffeport.layers.shapes import count


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

    axis: int
    ignore: int | None
    normalization: str
    prob: bool
    weights: tuple[float, ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> SoftmaxWithLoss:
        p = f.sub("softmax_param")
        p.ignore("engine")
        return cls(p.int("axis"), *read_normalization(f), at.tops == 2, _class_weights(f.sub("loss_param")))

    def infer(self, bottoms: Shapes) -> Inferred:
        same_batch(bottoms)
        classes = bottoms[0][one_label_each(bottoms, self.axis)]
        if len(self.weights) not in (0, classes):
            raise Misfit(f"class_weighting is given {len(self.weights)} times for {classes} classes", "once per class")
        return Inferred(((), bottoms[0])[: 1 + self.prob])

    def torch(self, bottoms: Shapes) -> Call:
        axis = one_label_each(bottoms, self.axis)
        normalization, weights = (self.normalization, "VALID"), (self.weights, ())
        ignore, prob = (self.ignore, None), (self.prob, False)
        kwargs = options(axis=(axis, 1), ignore=ignore, normalization=normalization, prob=prob, weights=weights)
        return Call("SoftmaxWithLoss", (), kwargs)

    def onnx(self, g: Onnx) -> None:
        axis = one_label_each(g.shapes, self.axis)
        index = index_node(g, axis)
        kept = kept_node(g, index, self.ignore)
        prob = g.op("Softmax", g.bottoms[:1], g.tops[1:] or None, axis=axis)
        chosen = chosen_node(g, index, kept)
        own = g.op("GatherElements", [prob, chosen], axis=axis)
        # FLT_MIN, as in Caffe.
        each = g.op("Neg", [g.op("Log", [g.op("Max", [own, g.floats(1.1754943508222875e-38)])])])
        if self.weights:
            each = g.op("Mul", [each, g.op("Gather", [g.floats(self.weights), chosen], axis=0)])
        normalised(g, total_node(g, each, kept), self.normalization, index, count(g.shapes[0], axis + 1), kept)


def _class_weights(p: Fields) -> tuple[float, ...]:
    """SegNet's weights; without a list its older versions count the labels of each batch, which nobody publishes."""
    weights = p.floats("class_weighting")
    if not p.bool("weight_by_label_freqs", False):
        return ()
    if not weights:
        raise p.refuse("weight_by_label_freqs", "is true without a class_weighting", "one class_weighting a class")
    return weights

"""Accuracy: how often the label is among the best scores."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.losses import chosen_node, index_node, kept_node, normalised, one_label_each
from caffeport.layers.nodes import FLOAT
from caffeport.layers.shapes import axis_of


@dataclass(frozen=True, slots=True)
class Accuracy(Layer):
    """Share of labels among the top_k scores (ties count against them), and as a second top that of each class."""

    type = "Accuracy"
    bottoms = (2, 2)
    tops = (1, 2)
    mirrors = "accuracy_layer.cpp"

    top_k: int
    axis: int
    ignore: int | None
    per_class: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Accuracy:
        p = f.sub("accuracy_param")
        ignore = p.int("ignore_label") if p.has("ignore_label") else None
        return cls(p.int("top_k"), p.int("axis"), ignore, at.tops == 2)

    def infer(self, bottoms: Shapes) -> Inferred:
        classes = bottoms[0][one_label_each(bottoms, self.axis)]
        if self.top_k > classes:
            raise Misfit(f"top_k is {self.top_k} for {classes} classes", f"{classes} is the most")
        return Inferred(((), (classes,))[: 1 + self.per_class])

    def torch(self, bottoms: Shapes) -> Call:
        axis = (axis_of(self.axis, len(bottoms[0])), 1)
        ignore, per_class = (self.ignore, None), (self.per_class, False)
        return Call("Accuracy", (), options(top_k=(self.top_k, 1), axis=axis, ignore=ignore, per_class=per_class))

    def onnx(self, g: Onnx) -> None:
        axis = axis_of(self.axis, len(g.shapes[0]))
        index = index_node(g, axis)
        kept = kept_node(g, index, self.ignore)
        own = g.op("GatherElements", [g.bottoms[0], chosen_node(g, index, kept)], axis=axis)
        as_good = g.op("Cast", [g.op("GreaterOrEqual", [g.bottoms[0], own])], to=FLOAT)
        rank = g.op("ReduceSum", [as_good, g.ints([axis])])
        right = g.op("LessOrEqual", [rank, g.floats(float(self.top_k))])
        right = right if kept is None else g.op("And", [right, kept])
        hits = g.op("Cast", [right], to=FLOAT)
        normalised(g, g.op("ReduceSum", [hits], keepdims=0), "VALID", index, 1, kept)
        if self.per_class:
            self._each_class(g, axis, index, hits)

    def _each_class(self, g: Onnx, axis: int, index: str, hits: str) -> None:
        """Hits of a class over its labels; ignored labels that are a class are no labels of it."""
        ndim, classes = len(g.shapes[0]), g.shapes[0][axis]
        others = g.ints([i for i in range(ndim) if i != axis])
        column = [1] * ndim
        column[axis] = classes
        numbers = g.op("Reshape", [g.ints(range(classes)), g.ints(column)])
        mine = g.op("Cast", [g.op("Equal", [index, numbers])], to=FLOAT)
        labels = g.op("ReduceSum", [mine, others], keepdims=0)
        if self.ignore in range(classes):
            labels = g.op("Mul", [labels, g.floats([float(c != self.ignore) for c in range(classes)])])
        found = g.op("ReduceSum", [g.op("Mul", [mine, hits]), others], keepdims=0)
        g.op("Div", [found, g.op("Max", [labels, g.floats(1.0)])], g.tops[1:])

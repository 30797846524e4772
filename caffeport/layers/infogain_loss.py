"""InfogainLoss: cross entropy where each label stands for a row of a matrix."""

from __future__ import annotations

import os
from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.class_losses import Labelled
from caffeport.layers.shapes import count

#: The matrix of a file is written into the emitted source; larger ones belong into a bottom.
MOST_CLASSES = 256


@dataclass(frozen=True, slots=True)
class InfogainLoss(Layer):
    """-sum of H[label, l] * log softmax_l, summed over all places and normalised; H is a bottom or a file's."""

    type = "InfogainLoss"
    bottoms = (2, 3)
    tops = (1, 2)
    mirrors = "infogain_loss_layer.cpp"
    loss = True

    labelled: Labelled
    matrix: tuple[float, ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> InfogainLoss:
        p = f.sub("infogain_loss_param")
        matrix: tuple[float, ...] = ()
        if at.bottoms == 3:
            # With a matrix as bottom Caffe does not open the file.
            p.ignore("source")
        else:
            matrix = _matrix(p.str("source"), f)
        return cls(Labelled.read(f, at, p.int("axis"), older=False), matrix)

    def infer(self, bottoms: Shapes) -> Inferred:
        classes = self.labelled.classes(bottoms)
        numbers = count(bottoms[2]) if len(bottoms) == 3 else len(self.matrix)
        if numbers != classes**2:
            raise Misfit(f"the matrix has {numbers} numbers for {classes} classes", f"{classes**2} are needed")
        return self.labelled.tops(bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        return self.labelled.call("InfogainLoss", bottoms, matrix=(self.matrix, ()))

    def onnx(self, g: Onnx) -> None:
        labels = self.labelled.nodes(g)
        axis, ndim, classes = labels.axis, len(g.shapes[0]), g.shapes[0][labels.axis]
        given = g.bottoms[2] if len(g.bottoms) == 3 else g.floats(self.matrix)
        matrix = g.op("Reshape", [given, g.ints((classes, classes))])
        places = g.op("Squeeze", [labels.chosen, g.ints([axis])])
        order = (*range(axis), ndim - 1, *range(axis, ndim - 1))
        rows = g.op("Transpose", [g.op("Gather", [matrix, places], axis=0)], perm=order)
        log = g.op("Log", [g.op("Max", [labels.prob, g.floats(1e-20)])])
        self.labelled.finish(g, labels, g.op("Neg", [g.op("ReduceSum", [g.op("Mul", [rows, log]), g.ints([axis])])]))


def _matrix(source: str, f: Fields) -> tuple[float, ...]:
    """The numbers of a binaryproto file, looked for as the net says and beside the net."""
    from caffeport.caffe.weights import read_blob

    net = f.message.where.file if f.message else ""
    beside = os.path.join(os.path.dirname(net), source)
    path = source if os.path.exists(source) or not os.path.exists(beside) else beside
    blob = read_blob(path)
    if blob.size > MOST_CLASSES**2:
        todo = "give the matrix as third bottom"
        raise f.refuse("source", f"holds {blob.size} numbers", f"{MOST_CLASSES}^2 at most", todo)
    return tuple(blob.numpy().ravel().tolist())

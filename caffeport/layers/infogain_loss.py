"""InfogainLoss: cross entropy where each label stands for a row of a matrix."""

from __future__ import annotations

import os
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

    axis: int
    ignore: int | None
    normalization: str
    prob: bool
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
        return cls(p.int("axis"), *read_normalization(f, older=False), at.tops == 2, matrix)

    def infer(self, bottoms: Shapes) -> Inferred:
        same_batch(bottoms)
        classes = bottoms[0][one_label_each(bottoms, self.axis)]
        numbers = count(bottoms[2]) if len(bottoms) == 3 else len(self.matrix)
        if numbers != classes**2:
            raise Misfit(f"the matrix has {numbers} numbers for {classes} classes", f"{classes**2} are needed")
        return Inferred(((), bottoms[0])[: 1 + self.prob])

    def torch(self, bottoms: Shapes) -> Call:
        axis = one_label_each(bottoms, self.axis)
        normalization, matrix = (self.normalization, "VALID"), (self.matrix, ())
        ignore, prob = (self.ignore, None), (self.prob, False)
        kwargs = options(axis=(axis, 1), ignore=ignore, normalization=normalization, prob=prob, matrix=matrix)
        return Call("InfogainLoss", (), kwargs)

    def onnx(self, g: Onnx) -> None:
        axis = one_label_each(g.shapes, self.axis)
        ndim, classes = len(g.shapes[0]), g.shapes[0][axis]
        index = index_node(g, axis)
        kept = kept_node(g, index, self.ignore)
        given = g.bottoms[2] if len(g.bottoms) == 3 else g.floats(self.matrix)
        matrix = g.op("Reshape", [given, g.ints((classes, classes))])
        places = g.op("Squeeze", [chosen_node(g, index, kept), g.ints([axis])])
        order = (*range(axis), ndim - 1, *range(axis, ndim - 1))
        rows = g.op("Transpose", [g.op("Gather", [matrix, places], axis=0)], perm=order)
        prob = g.op("Softmax", g.bottoms[:1], g.tops[1:] or None, axis=axis)
        log = g.op("Log", [g.op("Max", [prob, g.floats(1e-20)])])
        each = g.op("Neg", [g.op("ReduceSum", [g.op("Mul", [rows, log]), g.ints([axis])])])
        normalised(g, total_node(g, each, kept), self.normalization, index, count(g.shapes[0], axis + 1), kept)


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

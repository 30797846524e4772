"""ContrastiveLoss: similar pairs together, others a margin apart."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.losses import normalised, total_node
from caffeport.layers.nodes import BOOL, INT64
from caffeport.layers.shapes import count, show


@dataclass(frozen=True, slots=True)
class ContrastiveLoss(Layer):
    """Over 2 N: d^2 for similar pairs, max(0, margin - d)^2 for others (legacy_version: max(0, margin - d^2))."""

    type = "ContrastiveLoss"
    bottoms = (3, 3)
    mirrors = "contrastive_loss_layer.cpp"
    loss = True

    margin: float
    legacy: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> ContrastiveLoss:
        # Caffe normalises this loss by N whatever loss_param says.
        f.ignore("loss_param")
        p = f.sub("contrastive_loss_param")
        return cls(p.float("margin"), p.bool("legacy_version"))

    def infer(self, bottoms: Shapes) -> Inferred:
        a, b, similar = bottoms
        rows = all(len(shape) >= 2 and count(shape, 2) == 1 for shape in (a, b))
        if not rows or a[:2] != b[:2]:
            raise Misfit(f"the pairs are {show(a)} and {show(b)}", "two bottoms N x C are needed")
        if similar[:1] != a[:1] or count(similar) != a[0]:
            raise Misfit(f"bottom 2 is {show(similar)} for {a[0]} pairs", "one number a pair is needed")
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("ContrastiveLoss", (), options(margin=(self.margin, 1.0), legacy=(self.legacy, False)))

    def onnx(self, g: Onnx) -> None:
        channels = g.shapes[0][1]
        a, b = (g.op("Reshape", [bottom, g.ints((-1, channels))]) for bottom in g.bottoms[:2])
        square = g.op("ReduceSumSquare", [g.op("Sub", [a, b])], axes=[1], keepdims=0)
        distance = square if self.legacy else g.op("Sqrt", [square])
        short = g.op("Relu", [g.op("Sub", [g.floats(self.margin), distance])])
        far = short if self.legacy else g.op("Mul", [short, short])
        number = g.op("Reshape", [g.op("Cast", [g.bottoms[2]], to=INT64), g.ints([-1])])
        each = g.op("Where", [g.op("Cast", [number], to=BOOL), square, far])
        half = g.op("Mul", [total_node(g, each, None), g.floats(0.5)])
        normalised(g, half, "FULL", number, 1)

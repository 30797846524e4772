"""EuclideanLoss: half the mean squared distance."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.losses import normalised, reshape_free, same_batch
from caffeport.layers.shapes import count, show


@dataclass(frozen=True, slots=True)
class EuclideanLoss(Layer):
    """Sum of squared differences over 2 N; the gradient goes to both bottoms."""

    type = "EuclideanLoss"
    bottoms = (2, 2)
    mirrors = "euclidean_loss_layer.cpp"
    loss = True

    @classmethod
    def read(cls, f: Fields, at: Site) -> EuclideanLoss:
        # Caffe normalises this loss by N whatever loss_param says.
        f.ignore("loss_param")
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        same_batch(bottoms)
        if count(bottoms[0], 1) != count(bottoms[1], 1):
            shapes = f"bottom 0 is {show(bottoms[0])}, bottom 1 is {show(bottoms[1])}"
            raise Misfit(shapes, "behind the first side their counts must be equal")
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("EuclideanLoss")

    def onnx(self, g: Onnx) -> None:
        a, b = g.bottoms
        if g.shapes[0] != g.shapes[1]:
            b = reshape_free(g, b, g.shapes[0])
        squares = g.op("ReduceSumSquare", [g.op("Sub", [a, b])], keepdims=0)
        half = g.op("Mul", [squares, g.floats(0.5)])
        normalised(g, half, "BATCH_SIZE", a, count(g.shapes[0], 1))

"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.shapes import unary


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """Drops elements in training and scales the rest by 1 / (1 - ratio); passes everything on otherwise.

    Fast R-CNN's fork has `scale_train: false`: training leaves the rest as it is, evaluation scales by 1 - ratio.
    """

    type = "Dropout"
    mirrors = "dropout_layer.cpp"

    ratio: float
    scale_train: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Dropout:
        p = f.sub("dropout_param")
        ratio = p.float("dropout_ratio")
        # Caffe checks for 0 in its debug build only: such nets run, and drop nothing.
        if not 0 <= ratio < 1:
            raise p.refuse("dropout_ratio", f"is {ratio}", "0 or more and below 1 is possible")
        return cls(ratio, p.bool("scale_train", True))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.Dropout" if self.scale_train else "DropoutUnscaled", (self.ratio,))

    def onnx(self, g: Onnx) -> None:
        if self.scale_train:
            g.op("Identity", g.bottoms, g.tops)
        else:
            g.op("Mul", [g.bottoms[0], g.floats(1 - self.ratio)], g.tops)

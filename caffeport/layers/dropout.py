"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """Drops elements in training and scales the rest by 1 / (1 - ratio); passes everything on otherwise.

    Fast R-CNN's fork (rbgirshick/caffe-fast-rcnn, dropout_layer.cpp) has `scale_train: false`: training leaves the
    rest as it is, evaluation scales by 1 - ratio. SegNet's (alexgkendall/caffe-segnet, same file) has
    `sample_weights_test: true`: evaluation drops too, to sample. In a binary file the two are one
    number, which is refused there.
    """

    type = "Dropout"
    mirrors = "dropout_layer.cpp"

    ratio: float
    scale_train: bool
    always: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Dropout:
        p = f.sub("dropout_param")
        ratio = p.float("dropout_ratio")
        # Caffe checks for 0 in its debug build only: such nets run, and drop nothing.
        if not 0 <= ratio < 1:
            raise p.refuse("dropout_ratio", f"is {ratio}", "0 or more and below 1 is possible")
        scale_train, always = p.bool("scale_train", True), p.bool("sample_weights_test", False)
        if always and not scale_train:
            raise p.refuse("sample_weights_test", "is true beside scale_train: false", "each is of another fork")
        return cls(ratio, scale_train, always)

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        name = "DropoutAlways" if self.always else "nn.Dropout" if self.scale_train else "DropoutUnscaled"
        return Call(name, (self.ratio,))

    def onnx(self, g: Onnx) -> None:
        if self.always:
            raise g.refuse("it drops at random in evaluation too (sample_weights_test), no two runs agree")
        if self.scale_train:
            g.op("Identity", g.bottoms, g.tops)
        else:
            g.op("Mul", [g.bottoms[0], g.floats(1 - self.ratio)], g.tops)

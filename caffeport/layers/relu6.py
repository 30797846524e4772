"""ReLU6: a ReLU with a ceiling."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import unary


@dataclass(frozen=True, slots=True)
class ReLU6(Layer):
    """min(max(x, 0) + negative_slope * min(x, 0), 6).

    eric612/MobileNet-YOLO: relu6_layer.cpp; brocolli's fork can set another threshold.
    """

    type = "ReLU6"
    fork = "YOLO"
    mirrors = "relu6_layer.cpp"

    slope: float
    threshold: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> ReLU6:
        p = f.sub("relu6_param")
        p.ignore("engine")  # cuDNN computes the same
        return cls(p.float("negative_slope", 0.0), p.float("threshold", 6.0))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        if (self.slope, self.threshold) == (0, 6):
            return Call("nn.ReLU6")
        return Call("ReLU6", (), {"slope": self.slope, "threshold": self.threshold})

    def onnx(self, g: Onnx) -> None:
        if self.slope:
            rising = g.op("LeakyRelu", g.bottoms, alpha=self.slope)
            g.op("Min", [rising, g.floats(self.threshold)], g.tops)
        else:
            g.op("Clip", [g.bottoms[0], g.floats(0.0), g.floats(self.threshold)], g.tops)

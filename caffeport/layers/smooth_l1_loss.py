"""SmoothL1Loss: a square near zero, a straight line away from it."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Shapes, Site
from caffeport.layers.shapes import same_shapes


@dataclass(frozen=True, slots=True)
class SmoothL1Loss(Layer):
    """Sum of f(w_in * (x - target)) * w_out over the batch size; f is a square near zero and a line elsewhere.

    Three bottoms are Fast R-CNN's and SSD's (weiliu89/caffe, branch ssd: smooth_L1_loss_layer.cpp), four and sigma
    are Faster R-CNN's (rbgirshick/caffe-fast-rcnn, branch faster-rcnn: smooth_L1_loss_layer.cu).
    """

    type = "SmoothL1Loss"
    bottoms = (2, 4)
    fork = "Fast R-CNN"
    mirrors = "smooth_L1_loss_layer.cpp, smooth_L1_loss_layer.cu"
    loss = True
    no_onnx = "a loss is for training"

    sigma: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> SmoothL1Loss:
        p = f.sub("smooth_l1_loss_param")
        sigma = p.float("sigma")
        if sigma <= 0:
            raise p.refuse("sigma", f"is {sigma}", "above 0")
        return cls(sigma)

    def infer(self, bottoms: Shapes) -> Inferred:
        same_shapes(bottoms)
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("SmoothL1Loss", (), {"sigma": self.sigma} if self.sigma != 1 else {})

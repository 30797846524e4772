"""MultiBoxLoss: the loss of a single-shot detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Shapes, Site
from caffeport.layers.detecting import check_predictions
from caffeport.layers.multibox import DEFAULTS, read_options
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class MultiBoxLoss(Layer):
    """Location and confidence loss of predicted boxes, priors matched with true ones, hard negatives mined.

    weiliu89/caffe, branch ssd: multibox_loss_layer.cpp, util/bbox_util.cpp.
    """

    type = "MultiBoxLoss"
    bottoms = (4, 4)
    fork = "SSD"
    mirrors = "multibox_loss_layer.cpp, bbox_util.cpp"
    loss = True
    no_onnx = "a loss is for training"

    classes: int
    options: tuple[tuple[str, Any], ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> MultiBoxLoss:
        return cls(*read_options(f))

    def infer(self, bottoms: Shapes) -> Inferred:
        check_predictions(bottoms, self.classes, dict(self.options)["shared"])
        truth = bottoms[3]
        if truth[-1:] != (8,):
            raise Misfit(f"the true boxes are {show(truth)}", "8 numbers each: picture, label, number, box, difficult")
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = {name: value for name, value in self.options if value != DEFAULTS[name]}
        return Call("MultiBoxLoss", (self.classes,), kwargs)

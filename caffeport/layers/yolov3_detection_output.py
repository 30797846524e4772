"""Yolov3DetectionOutput: what a YOLO net found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.aligning import align
from caffeport.layers.base import MANY, Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import show
from caffeport.layers.yolo import Anchors, decode, suppress


@dataclass(frozen=True, slots=True)
class Yolov3DetectionOutput(Layer):
    """Boxes of several maps of cells, overlapping ones suppressed whatever their labels: picture, label, score, box.

    eric612/MobileNet-YOLO: yolov3_detection_output_layer.cpp. It puts the boxes of all pictures of a batch into one
    list and calls them picture 0. Where nothing is found there is a row of -1 per picture, behind its number.
    """

    type = "Yolov3DetectionOutput"
    bottoms = (1, MANY)
    fork = "YOLO"
    mirrors = "yolov3_detection_output_layer.cpp"
    varying = True

    classes: int
    anchors: tuple[Anchors, ...]
    scales: tuple[int, ...]
    threshold: float
    overlap: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Yolov3DetectionOutput:
        p = f.sub("yolov3_detection_output_param")
        each, groups = p.int("num_box"), p.int("mask_group_num")
        mask, biases, scales = p.ints("mask"), p.floats("biases"), p.ints("anchors_scale")
        if groups != at.bottoms or len(scales) < groups:
            raise p.refuse("mask_group_num", f"is {groups}, with {len(scales)} scales", f"{at.bottoms}, one per bottom")
        if min(scales) < 1:
            raise p.refuse("anchors_scale", f"is {list(scales)}", "1 or more")
        step = len(mask) // groups
        own = [mask[k * step : k * step + each] for k in range(groups)]
        if any(len(group) != each or max(group, default=0) * 2 + 1 >= len(biases) for group in own):
            raise p.refuse("mask", f"is {list(mask)} for {len(biases)} biases", f"{each} pairs of biases per bottom")
        anchors = tuple(tuple((biases[2 * n], biases[2 * n + 1]) for n in group) for group in own)
        limits = p.float("confidence_threshold"), p.float("nms_threshold")
        return cls(p.int("num_classes"), anchors, scales[:groups], *limits)

    def infer(self, bottoms: Shapes) -> Inferred:
        for shape in bottoms:
            wanted = len(self.anchors[0]) * (5 + self.classes)
            if len(shape) != 4 or shape[1] != wanted or shape[2] != shape[3]:
                raise Misfit(f"a bottom is {show(shape)}", f"N x {wanted} x side x side")
        boxes = sum(shape[0] * shape[2] * shape[3] for shape in bottoms) * len(self.anchors[0])
        return Inferred(((1, 1, boxes * self.classes, 7),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Yolov3Detection", (self.classes, self.anchors, self.scales, self.threshold, self.overlap))

    def onnx(self, g: Onnx) -> None:
        maps = zip(g.bottoms, g.shapes, self.anchors, self.scales, strict=True)
        made = [decode(g, x, shape[2], self.classes, anchors, scale) for x, shape, anchors, scale in maps]
        boxes, scores = (g.op("Concat", parts, axis=0) for parts in zip(*made, strict=True))
        suppress(g, boxes, scores, self.classes, self.threshold, self.overlap)

    def aligned(self, got: Any, want: Any) -> Any:
        """Rows of equal scores as Caffe happens to sort them."""
        return align(got, want, -1)

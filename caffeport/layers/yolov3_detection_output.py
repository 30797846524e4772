"""Yolov3DetectionOutput: what a YOLO net found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.detecting import align, nothing, pictures, piece
from caffeport.layers.shapes import show
from caffeport.layers.steps import FLOAT

Anchors = tuple[tuple[float, float], ...]


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
        made = [self._map(g, k) for k in range(len(g.bottoms))]
        boxes, scores = (g.op("Concat", parts, axis=0) for parts in zip(*made, strict=True))
        # One candidate per box and label, so that labels suppress each other.
        flat = g.op("Reshape", [scores, g.ints((1, 1, -1))])
        shape = g.op("Concat", [g.op("Shape", [scores]), g.ints([4])], axis=0)
        spread = g.op("Reshape", [g.op("Expand", [g.op("Unsqueeze", [boxes, g.ints([1])]), shape]), g.ints((1, -1, 4))])
        limits = [g.floats([_below(self.overlap)]), g.floats([self.threshold])]
        count = g.op("Squeeze", [piece(g, g.op("Shape", [flat]), 2, 3, 0)])
        chosen = g.op("NonMaxSuppression", [spread, flat, count, *limits])
        places = g.op("Reshape", [piece(g, chosen, 2, 3, 1), g.ints([-1])])
        score = g.op("Gather", [g.op("Reshape", [flat, g.ints([-1])]), places])
        score, order = g.ops("TopK", [score, g.op("Shape", [places])], 2)
        places = g.op("Gather", [places, order])
        label = g.op("Add", [g.op("Mod", [places, g.ints(self.classes)]), g.ints(1)])
        box = g.op("Gather", [boxes, g.op("Div", [places, g.ints(self.classes)])])
        label = g.op("Cast", [label], to=FLOAT)
        columns = [g.op("Unsqueeze", [x, g.ints([1])]) for x in (g.op("Mul", [label, g.floats(0.0)]), label, score)]
        found = g.op("Concat", [*columns, box], axis=1)
        empty = nothing(g, places, pictures(g, g.bottoms[0]))
        g.op("Unsqueeze", [g.op("Concat", [found, empty], axis=0), g.ints((0, 1))], g.tops)

    def aligned(self, got: Any, want: Any) -> Any:
        """See `detecting.align`."""
        return align(got, want, -1)

    def _map(self, g: Onnx, k: int) -> tuple[str, str]:
        """Corners (boxes x 4) and scores (boxes x classes) of one bottom, in the order of the fork's loops."""
        side, numbers = g.shapes[k][2], 5 + self.classes
        parts = g.op("Reshape", [g.bottoms[k], g.ints((-1, len(self.anchors[k]), numbers, side * side))])
        parts = g.op("Transpose", [parts], perm=(0, 3, 1, 2))
        cells = g.floats([[[cell % side, cell // side]] for cell in range(side * side)])
        anchors = g.floats([[w / (side * self.scales[k]), h / (side * self.scales[k])] for w, h in self.anchors[k]])
        centre = g.op("Div", [g.op("Add", [g.op("Sigmoid", [piece(g, parts, 0, 2)]), cells]), g.floats(float(side))])
        half = g.op("Mul", [g.op("Mul", [g.op("Exp", [piece(g, parts, 2, 4)]), anchors]), g.floats(0.5)])
        corners = g.op("Concat", [g.op("Sub", [centre, half]), g.op("Add", [centre, half])], axis=-1)
        scores = g.op("Mul", [*(g.op("Sigmoid", [piece(g, parts, a, b)]) for a, b in ((4, 5), (5, numbers)))])
        return g.op("Reshape", [corners, g.ints((-1, 4))]), g.op("Reshape", [scores, g.ints((-1, self.classes))])


def _below(limit: float) -> float:
    """The next smaller float32: the fork suppresses at the threshold too, the operator above it."""
    import numpy as np

    return float(np.nextafter(np.float32(min(limit, 1.0)), np.float32(0)))

"""DetectionOutput: what a detector found."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.detecting import align, decode, detect
from caffeport.layers.shapes import count

LOWEST = -3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class DetectionOutput(Layer):
    """Boxes decoded from predictions and priors, overlapping ones suppressed: rows of picture, label, score, box.

    How many rows there are depends on the data; the inferred count is the most that is possible. Where nothing is
    found there is a row of -1 per picture, behind the picture's number.
    weiliu89/caffe, branch ssd: detection_output_layer.cpp, util/bbox_util.cpp.
    """

    type = "DetectionOutput"
    bottoms = (3, 4)
    fork = "SSD"
    mirrors = "detection_output_layer.cpp, bbox_util.cpp"
    varying = True

    classes: int
    background: int
    shared: bool
    code: str
    variance_in_target: bool
    threshold: float
    overlap: float
    top_k: int
    keep: int
    eta: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> DetectionOutput:
        p, n = f.sub("detection_output_param"), f.sub("detection_output_param").sub("nms_param")
        # Files and windows beside the result; the fourth bottom is the picture to draw on.
        p.ignore("save_output_param", "visualize", "visualize_threshold", "save_file")
        f.ignore("transform_param")
        eta, overlap = n.float("eta"), n.float("nms_threshold")
        if not 0 < eta <= 1:
            raise n.refuse("eta", f"is {eta}", "above 0, at most 1")
        if overlap < 0:
            raise n.refuse("nms_threshold", f"is {overlap}", "0 or more")
        return cls(
            p.int("num_classes"),
            p.int("background_label_id"),
            p.bool("share_location"),
            p.enum("code_type"),
            p.bool("variance_encoded_in_target"),
            p.float("confidence_threshold", LOWEST),
            overlap,
            n.int("top_k", -1),
            p.int("keep_top_k"),
            eta,
        )

    def infer(self, bottoms: Shapes) -> Inferred:
        location, scores, priors = bottoms[:3]
        boxes = priors[2] // 4 if len(priors) > 2 else 0
        each = 4 if self.shared else 4 * self.classes
        if location[0] != scores[0] or (count(location, 1), count(scores, 1)) != (boxes * each, boxes * self.classes):
            found = f"{count(location, 1)} locations and {count(scores, 1)} scores for {boxes} priors"
            raise Misfit(found, f"{each} and {self.classes} for each prior, of as many pictures")
        most = self._labels() * self._candidates(boxes)
        return Inferred(((1, 1, location[0] * (most if self.keep < 0 else min(most, max(self.keep, 1))), 7),))

    def torch(self, bottoms: Shapes) -> Call:
        names = [field.name for field in fields(self)][1:]
        defaults = (0, True, "CORNER", False, LOWEST, 0.3, -1, -1, 1.0)
        given = {name: getattr(self, name) for name in names}
        kwargs = {name: given[name] for name, default in zip(names, defaults, strict=True) if given[name] != default}
        return Call("DetectionOutput", (self.classes,), kwargs)

    def onnx(self, g: Onnx) -> None:
        if self.eta < 1:
            raise g.refuse("ONNX has no suppression with a threshold that falls (nms_param.eta below 1)")
        boxes = g.shapes[2][2] // 4
        labels = [label for label in range(self.classes) if label != self.background]
        scores = g.op("Reshape", [g.bottoms[1], g.ints((-1, boxes, self.classes))])
        scores = g.op("Transpose", [g.op("Gather", [scores, g.ints(labels)], axis=2)], perm=(0, 2, 1))
        location = g.op("Reshape", [g.bottoms[0], g.ints((-1, boxes, 1 if self.shared else self.classes, 4))])
        if not self.shared:
            location = g.op("Gather", [location, g.ints(labels)], axis=2)
        decoded = decode(g, location, g.bottoms[2], self.code, self.variance_in_target)
        detect(g, labels, decoded, scores, (self.threshold, self.overlap, self._candidates(boxes), self.keep))

    def aligned(self, got: Any, want: Any) -> Any:
        """See `detecting.align`."""
        return align(got, want, self.keep)

    def _labels(self) -> int:
        return self.classes - (0 <= self.background < self.classes)

    def _candidates(self, boxes: int) -> int:
        return boxes if self.top_k < 0 else min(self.top_k, boxes)

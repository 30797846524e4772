"""DetectionOutput: what a detector found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.aligning import align
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.detecting import Suppression, check_predictions, detect, predicted
from caffeport.layers.faces import options


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
    suppression: Suppression

    @classmethod
    def read(cls, f: Fields, at: Site) -> DetectionOutput:
        p = f.sub("detection_output_param")
        # Files and windows beside the result; the fourth bottom is the picture to draw on.
        p.ignore("save_output_param", "visualize", "visualize_threshold", "save_file")
        f.ignore("transform_param")  # of that picture
        classes, background, shared = p.int("num_classes"), p.int("background_label_id"), p.bool("share_location")
        code, variance_in_target = p.enum("code_type"), p.bool("variance_encoded_in_target")
        return cls(classes, background, shared, code, variance_in_target, Suppression.read(p))

    def infer(self, bottoms: Shapes) -> Inferred:
        boxes = check_predictions(bottoms, self.classes, self.shared)
        most = self.suppression.most(self.classes - (0 <= self.background < self.classes), boxes)
        return Inferred(((1, 1, bottoms[0][0] * most, 7),))

    def torch(self, bottoms: Shapes) -> Call:
        coding = options(code=(self.code, "CORNER"), variance_in_target=(self.variance_in_target, False))
        kwargs = options(background=(self.background, 0), shared=(self.shared, True)) | coding
        return Call("DetectionOutput", (self.classes,), kwargs | self.suppression.arguments())

    def onnx(self, g: Onnx) -> None:
        if self.suppression.eta < 1:
            raise g.refuse("ONNX has no suppression with a threshold that falls (nms_param.eta below 1)")
        labels = [label for label in range(self.classes) if label != self.background]
        coding = (self.code, self.variance_in_target)
        boxes, scores = predicted(g, self.classes, labels, self.shared, coding)
        detect(g, labels, boxes, scores, self.suppression)

    def aligned(self, got: Any, want: Any) -> Any:
        """Rows of equal scores as Caffe happens to sort them."""
        return align(got, want, self.suppression.keep)

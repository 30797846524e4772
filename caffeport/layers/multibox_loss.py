"""MultiBoxLoss: the loss of a single-shot detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Shapes, Site
from caffeport.layers.shapes import count

#: The module's names and defaults for what the file may say, in the module's order.
DEFAULTS: dict[str, Any] = {
    "background": 0,
    "shared": True,
    "code": "CORNER",
    "variance_in_target": False,
    "smooth": True,
    "softmax": True,
    "weight": 1.0,
    "per_prediction": True,
    "overlap": 0.5,
    "difficult": True,
    "agnostic": False,
    "inside_only": False,
    "bp_inside": False,
    "mining": "MAX_NEGATIVE",
    "ratio": 3.0,
    "negative_overlap": 0.5,
    "sample": 64,
    "normalization": "VALID",
    "parts": (True, True),
}


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
        p = f.sub("multibox_loss_param")
        options = _options(p) | {"normalization": _normalization(f.sub("loss_param"))}
        # A part whose gradient is not wanted is left out of the loss itself as well.
        parts = f.bools("propagate_down")[:2]
        options["parts"] = parts if len(parts) == 2 else (True, True)
        classes, background = p.int("num_classes"), options["background"]
        if options["mining"] != "NONE" and not options["shared"]:
            raise p.refuse("share_location", "is false while negatives are mined", "mining_type: NONE goes with it")
        if options["mining"] == "NONE" and not options["softmax"]:
            raise p.refuse("conf_loss_type", "is LOGISTIC with mining_type: NONE", "Caffe mixes up the pictures there")
        if options["softmax"] and background >= classes:
            raise p.refuse("background_label_id", f"is {background}", f"below num_classes ({classes})")
        if options["agnostic"] and classes != 2:
            raise p.refuse("num_classes", f"is {classes} with map_object_to_agnostic", "2 goes with it")
        return cls(classes, tuple((name, options[name]) for name in DEFAULTS))

    def infer(self, bottoms: Shapes) -> Inferred:
        location, scores, priors, truth = bottoms
        boxes, each = priors[2] // 4 if len(priors) > 2 else 0, 4
        if not dict(self.options)["shared"]:
            each *= self.classes
        if location[0] != scores[0] or (count(location, 1), count(scores, 1)) != (boxes * each, boxes * self.classes):
            found = f"{count(location, 1)} locations and {count(scores, 1)} scores for {boxes} priors"
            raise Misfit(found, f"{each} and {self.classes} for each prior, of as many pictures")
        if truth[-1] != 8:
            raise Misfit(f"the true boxes have {truth[-1]} numbers each", "8: picture, label, number, box, difficult")
        return Inferred(((),))

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = {name: value for name, value in self.options if value != DEFAULTS[name]}
        return Call("MultiBoxLoss", (self.classes,), kwargs)


def _options(p: Fields) -> dict[str, Any]:
    mining = p.enum("mining_type")
    if p.has("do_neg_mining") and p.bool("do_neg_mining") != (mining != "NONE"):
        raise p.refuse("do_neg_mining", f"contradicts mining_type {mining}", "Caffe wants them to agree")
    if not p.bool("use_prior_for_matching"):
        raise p.refuse("use_prior_for_matching", "is false", "priors are matched, not predictions, in all known nets")
    # Only read where boxes are suppressed before mining, which needs nms_param.
    p.ignore("use_prior_for_nms")
    return {
        "background": p.int("background_label_id"),
        "shared": p.bool("share_location"),
        "code": p.enum("code_type"),
        "variance_in_target": p.bool("encode_variance_in_target"),
        "smooth": p.enum("loc_loss_type") == "SMOOTH_L1",
        "softmax": p.enum("conf_loss_type") == "SOFTMAX",
        "weight": p.float("loc_weight"),
        "per_prediction": p.enum("match_type") == "PER_PREDICTION",
        "overlap": p.float("overlap_threshold"),
        "difficult": p.bool("use_difficult_gt"),
        "agnostic": p.bool("map_object_to_agnostic"),
        "inside_only": p.bool("ignore_cross_boundary_bbox"),
        "bp_inside": p.bool("bp_inside"),
        "mining": mining,
        "ratio": p.float("neg_pos_ratio"),
        "negative_overlap": p.float("neg_overlap"),
        "sample": p.int("sample_size"),
    }


def _normalization(p: Fields) -> str:
    if p.has("normalize") and not p.has("normalization"):
        return "VALID" if p.bool("normalize") else "BATCH_SIZE"
    p.ignore("normalize")
    return p.enum("normalization")

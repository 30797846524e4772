"""What MultiBoxLossParameter says, under the names of the module that computes it."""

from __future__ import annotations

from typing import Any

from caffeport.caffe.fields import Fields

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


def read_options(f: Fields) -> tuple[int, tuple[tuple[str, Any], ...]]:
    """The number of classes, and a value for each of `DEFAULTS`; refuses what Caffe refuses or gets wrong."""
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
    return classes, tuple((name, options[name]) for name in DEFAULTS)


def _options(p: Fields) -> dict[str, Any]:
    """All but the normalisation and the parts, which other messages tell."""
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
    p.ignore("normalize")  # the newer field wins
    return p.enum("normalization")

"""Proposal: regions that may hold something, as a layer in C++."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.proposing import Proposing, proposal_anchors


@dataclass(frozen=True, slots=True)
class Proposal(Layer):
    """Regions (picture, x1, y1, x2, y2), best first, out of scores, moves of anchors and the picture's size.

    sanghoon/caffe (PVANET): proposal_layer.cpp. Boxes that are too small get score 0.
    """

    type = "Proposal"
    bottoms = (3, 3)
    tops = (1, 2)
    fork = "PVANET"
    mirrors = "proposal_layer.cpp, util/nms.cpp"
    varying = True

    how: Proposing
    outputs: int
    train: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Proposal:
        p = f.sub("proposal_param")
        ratios, scales = p.floats("ratio"), p.floats("scale")
        if not ratios or not scales or not all(0 < number < inf for number in (*ratios, *scales)):
            raise p.refuse("ratio", f"is {list(ratios)}, scale {list(scales)}", "one or more of each, above 0")
        how = Proposing(
            anchors=proposal_anchors(ratios, scales, p.int("base_size")),
            stride=p.int("feat_stride"),
            min_size=float(p.int("min_size")),
            before=(p.int("pre_nms_topn"),) * 2,
            after=(p.int("post_nms_topn"),) * 2,
            overlap=p.float("nms_thresh"),
            drop=False,
        )
        return cls(how, at.tops, at.phase == "TRAIN")

    def infer(self, bottoms: Shapes) -> Inferred:
        return self.how.infer(bottoms, self.outputs, self.train, ())

    def torch(self, bottoms: Shapes) -> Call:
        return self.how.torch(self.outputs, ())

    def onnx(self, g: Onnx) -> None:
        self.how.onnx(g, ())

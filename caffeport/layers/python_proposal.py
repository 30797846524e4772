"""py-faster-rcnn's ProposalLayer: the one Python layer that comes along, because so many nets have it."""

from __future__ import annotations

import re

from caffeport.layers.base import Call, Inferred, Misfit, Onnx, Shapes
from caffeport.layers.proposing import Proposing, python_anchors
from caffeport.layers.registered import register_python_layer

_SETTING = re.compile(r"""['"]?(\w+)['"]?\s*:\s*(?:!!python/tuple\s*)?([\[(][^\])]*[\])]|[^,\s{}]+)""")
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?|-?\.\d+")


@register_python_layer("rpn.proposal_layer", "ProposalLayer")
class ProposalLayer:
    """Regions that may hold something, best first, as fast_rcnn/config.py sets the numbers.

    rbgirshick/py-faster-rcnn: lib/rpn/proposal_layer.py, generate_anchors.py. Small boxes are dropped; in evaluation
    300 of 6,000 are left, in training 2,000 of 12,000. Suppression goes by `>`, as the GPU code does.
    """

    varying = True

    def __init__(self, param_str: str) -> None:
        settings = _settings(param_str)
        unknown = set(settings) - {"feat_stride", "scales", "ratios"}
        if unknown or len(settings.get("feat_stride", ())) != 1:
            raise Misfit(f"param_str is {param_str[:80]!r}", "feat_stride, and perhaps scales and ratios")
        ratios, scales = settings.get("ratios", (0.5, 1.0, 2.0)), settings.get("scales", (8.0, 16.0, 32.0))
        (stride,) = settings["feat_stride"]
        if not all(0 < number < 1e6 for number in (stride, *ratios, *scales)):
            raise Misfit(f"param_str is {param_str[:80]!r}", "numbers above 0, below a million")
        self.how = Proposing(
            python_anchors(ratios, scales), int(stride), 16.0, (6000, 12000), (300, 2000), 0.7, drop=True
        )
        self.tops = 1

    def infer(self, bottoms: Shapes, tops: int) -> Inferred:
        """Shapes of the regions and of their scores."""
        if len(bottoms) != 3 or not 1 <= tops <= 2:
            raise Misfit(f"has {len(bottoms)} bottoms and {tops} tops", "scores, moves, im_info; regions, scores")
        self.tops = tops
        return self.how.infer(bottoms, tops, False, (1,))

    def torch(self, bottoms: Shapes) -> Call:
        """The module."""
        return self.how.torch(self.tops, (1,))

    def onnx(self, g: Onnx) -> None:
        """The nodes."""
        self.how.onnx(g, (1,))


def _settings(param_str: str) -> dict[str, tuple[float, ...]]:
    """Names and numbers of a param_str; what is no number makes an empty tuple."""
    return {name: tuple(map(float, _NUMBER.findall(value))) for name, value in _SETTING.findall(param_str)}

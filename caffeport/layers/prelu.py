"""PReLU: ReLU with a learned slope."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.nodes import per_channel
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class PReLU(Layer):
    """max(x, 0) + slope * min(x, 0), the slope learned for each channel or for all of them."""

    type = "PReLU"
    mirrors = "prelu_layer.cpp"

    shared: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> PReLU:
        p = f.sub("prelu_param")
        p.ignore("filler")  # what training from scratch begins with
        return cls(p.bool("channel_shared"))

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[0]) < 2:
            raise Misfit(f"the bottom is {show(bottoms[0])}", "Caffe wants two axes or more here")
        return Inferred(bottoms, ((),) if self.shared else (bottoms[0][1:2],))

    def torch(self, bottoms: Shapes) -> Call:
        if self.shared:
            return Call("SharedPReLU", (), {}, ("weight",))
        return Call("nn.PReLU", bottoms[0][1:2], {}, ("weight",))

    def onnx(self, g: Onnx) -> None:
        slope = per_channel(g, g.params[0], 2 if self.shared else len(g.shapes[0]))
        g.op("PRelu", [g.bottoms[0], slope], g.tops)

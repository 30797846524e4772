"""Normalize: each pixel's channels, or the whole picture, brought to a learned Euclidean length."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.nodes import per_channel


@dataclass(frozen=True, slots=True)
class Normalize(Layer):
    """x / sqrt(sum of squares + eps) * scale, the sum over the channels of each pixel or over the whole picture.

    weiliu89/caffe, branch ssd: normalize_layer.cpp.
    """

    type = "Normalize"
    fork = "SSD"
    mirrors = "normalize_layer.cpp"

    across_spatial: bool
    channel_shared: bool
    eps: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Normalize:
        p = f.sub("norm_param")
        p.ignore("scale_filler")  # what training from scratch begins with
        return cls(p.bool("across_spatial"), p.bool("channel_shared"), p.float("eps"))

    def infer(self, bottoms: Shapes) -> Inferred:
        if not 2 <= len(bottoms[0]) <= 4:
            raise Misfit(f"the bottom has {len(bottoms[0])} axes", "Caffe wants 2 to 4")
        return Inferred(bottoms, (() if self.channel_shared else bottoms[0][1:2],))

    def torch(self, bottoms: Shapes) -> Call:
        channels = None if self.channel_shared else bottoms[0][1]
        kwargs = {"across_spatial": self.across_spatial, "eps": self.eps}
        return Call("Normalize", (channels,), kwargs, ("weight",))

    def onnx(self, g: Onnx) -> None:
        axes = len(g.shapes[0])
        over = list(range(1, axes)) if self.across_spatial else [1]
        squares = g.op("ReduceSumSquare", g.bottoms, axes=over, keepdims=1)
        length = g.op("Sqrt", [g.op("Add", [squares, g.floats(self.eps)])])
        scale = g.params[0] if self.channel_shared else per_channel(g, g.params[0], axes)
        g.op("Mul", [g.op("Div", [g.bottoms[0], length]), scale], g.tops)

"""Reorg: space into channels, as darknet does it."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class Reorg(Layer):
    """N x C x H x W to N x (C s s) x (H / s) x (W / s), or back with `reverse`, in darknet's order of elements.

    gklz1982/caffe-yolov2 and eric612/MobileNet-YOLO: reorg_layer.cpp. Darknet reads the bottom as if its channels
    had been folded into space already, so this is no plain space-to-depth; the reverse is a plain depth-to-space.
    """

    type = "Reorg"
    fork = "YOLO"
    mirrors = "reorg_layer.cpp"

    stride: int
    reverse: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Reorg:
        p = f.sub("reorg_param")
        return cls(positive(p, "stride"), p.bool("reverse"))

    def infer(self, bottoms: Shapes) -> Inferred:
        s, bottom = self.stride, bottoms[0]
        if len(bottom) != 4 or bottom[1] % (s * s) or (not self.reverse and (bottom[2] % s or bottom[3] % s)):
            raise Misfit(f"the bottom is {show(bottom)}", f"{s * s} divides its channels, {s} height and width")
        n, c, h, w = bottom
        return Inferred(((n, c // (s * s), h * s, w * s) if self.reverse else (n, c * s * s, h // s, w // s),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Reorg", (self.stride,), {"reverse": True} if self.reverse else {})

    def onnx(self, g: Onnx) -> None:
        s, (_, c, h, w) = self.stride, g.shapes[0]
        if self.reverse:
            g.op("DepthToSpace", g.bottoms, g.tops, blocksize=s, mode="DCR")
            return
        folded = g.op("Reshape", [g.bottoms[0], g.ints((-1, c // (s * s), h, s, w, s))])
        moved = g.op("Transpose", [folded], perm=(0, 3, 5, 1, 2, 4))
        g.op("Reshape", [moved, g.ints((-1, *g.top_shapes[0][1:]))], g.tops)

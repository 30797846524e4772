"""Upsample: two forks' layers of one name."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shape, Shapes, Site
from caffeport.layers.pools import unpool_nodes
from caffeport.layers.shapes import four_axes, same_shapes


@dataclass(frozen=True, slots=True)
class Upsample(Layer):
    """With a mask as second bottom each value goes back where the maximum was; alone each pixel becomes a square.

    The mask is SegNet's (alexgkendall/caffe-segnet: upsample_layer.cpp): Pooling's second top. The other is YOLO's
    (eric612/MobileNet-YOLO: upsample_layer.cpp).
    """

    type = "Upsample"
    bottoms = (1, 2)
    fork = "SegNet, YOLO"
    mirrors = "upsample_layer.cpp"

    scale: tuple[int, int]
    less: tuple[int, int]
    size: tuple[int, int] | None

    @classmethod
    def read(cls, f: Fields, at: Site) -> Upsample:
        p = f.sub("upsample_param")
        if at.bottoms == 1:
            if (scale := p.int("scale", 1)) < 1:
                raise p.refuse("scale", f"is {scale}", "1 or more")
            return cls((scale, scale), (0, 0), None)
        return cls(*_segnet(p))

    def infer(self, bottoms: Shapes) -> Inferred:
        four_axes(bottoms)
        same_shapes(bottoms)
        return Inferred(((*bottoms[0][:2], *self._sides(bottoms[0])),))

    def torch(self, bottoms: Shapes) -> Call:
        if len(bottoms) == 2:
            return Call("Unpool", self._sides(bottoms[0]))
        return Call("nn.Upsample", (), {"scale_factor": self.scale[0], "mode": "nearest"})

    def onnx(self, g: Onnx) -> None:
        if len(g.bottoms) == 1:
            scales = g.floats([1.0, 1.0, float(self.scale[0]), float(self.scale[1])])
            places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            g.op("Resize", [g.bottoms[0], "", scales], g.tops, mode="nearest", **places)
            return
        unpool_nodes(g, *self._sides(g.shapes[0]))

    def _sides(self, bottom: Shape) -> tuple[int, int]:
        if self.size:
            return self.size
        return (bottom[2] * self.scale[0] - self.less[0], bottom[3] * self.scale[1] - self.less[1])


def _segnet(p: Fields) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int] | None]:
    """Scale, what is cut off each side, and the size if it is told."""
    if p.has("upsample_h") and p.has("upsample_w"):
        # The size wins; Caffe does not look at the older fields then.
        p.ignore("scale", "scale_h", "scale_w", "pad_out_h", "pad_out_w")
        if min(size := (p.int("upsample_h"), p.int("upsample_w"))) < 2:
            raise p.refuse("upsample_h", f"is {size[0]}, upsample_w {size[1]}", "2 or more")
        return (1, 1), (0, 0), size
    if p.has("scale_h") != p.has("scale_w") or (p.has("scale") and p.has("scale_h")):
        raise p.refuse("scale", "is given by halves or twice", "scale, or scale_h and scale_w")
    scale = (p.int("scale_h"), p.int("scale_w")) if p.has("scale_h") else (p.int("scale", 2),) * 2
    if min(scale) < 2:
        raise p.refuse("scale", f"is {scale} beside a mask", "2 or more")
    less = (int(p.bool("pad_out_h")), int(p.bool("pad_out_w")))
    if any(cut and side != 2 for cut, side in zip(less, scale, strict=True)):
        raise p.refuse("pad_out_h", f"is set with scale {scale}", "it goes with a scale of 2")
    return scale, less, None

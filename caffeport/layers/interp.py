"""Interp: bilinear resizing that keeps the corners in place."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.nodes import beside
from caffeport.layers.shapes import four_axes


@dataclass(frozen=True, slots=True)
class Interp(Layer):
    """Bilinear resizing to a size, by factors, or to the second bottom's size, corner pixels on corner pixels.

    Of height and width, zoom_factor and shrink_factor the order of yjxiong/caffe (interp_layer.cpp) holds, which is
    DeepLab's and PSPNet's too: one factor alone wins over a size, a size over both factors. use_blob_size with a
    second bottom is soeaver/caffe-model's.
    """

    type = "Interp"
    bottoms = (1, 2)
    fork = "DeepLab, PSPNet"
    mirrors = "interp_layer.cpp, util/interp.cpp"

    size: tuple[int, int] | None
    shrink: int
    zoom: int
    pad: tuple[int, int]

    @classmethod
    def read(cls, f: Fields, at: Site) -> Interp:
        p = f.sub("interp_param")
        if p.str("interp_type", "bilinear") != "bilinear":
            raise p.refuse("interp_type", f"is {p.str('interp_type')!r}", "bilinear")
        if p.bool("use_blob_size", at.bottoms == 2) != (at.bottoms == 2):
            raise p.refuse("use_blob_size", f"does not fit {at.bottoms} bottoms", "true with two, false with one")
        if max(pad := (p.int("pad_beg"), p.int("pad_end"))) > 0:
            raise p.refuse("pad_beg", f"or pad_end is above 0: {pad}", "0 or less, which crops")
        shrink, zoom = positive(p, "shrink_factor"), positive(p, "zoom_factor")
        size = (p.int("height"), p.int("width")) if p.has("height") and p.has("width") else None
        p.ignore("height", "width")  # one alone says nothing, as in the fork
        if at.bottoms == 2 or (size and p.has("shrink_factor") == p.has("zoom_factor")):
            return cls(size, 1, 1, pad)
        if not (p.has("shrink_factor") or p.has("zoom_factor")):
            raise p.refuse("interp_param", "tells no size", "height and width, zoom_factor, or shrink_factor")
        return cls(None, shrink, zoom, pad)

    def infer(self, bottoms: Shapes) -> Inferred:
        four_axes(bottoms)
        sides = self._sides(bottoms)
        if min(*sides, *(left := self._left(bottoms[0]))) < 1:
            raise Misfit(f"makes {sides} of {left}", "sides above 0")
        return Inferred(((*bottoms[0][:2], *sides),))

    def torch(self, bottoms: Shapes) -> Call:
        size = None if len(bottoms) == 2 else self._sides(bottoms)
        return Call("Interp", (size,), {"pad": self.pad} if any(self.pad) else {})

    def onnx(self, g: Onnx) -> None:
        x = g.bottoms[0]
        if any(self.pad):
            begin, end = g.ints([-self.pad[0]] * 2), g.ints([side + self.pad[1] for side in g.shapes[0][2:]])
            x = g.op("Slice", [x, begin, end, g.ints([2, 3])])
        corners = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        g.op("Resize", [x, "", "", beside(g, x, 2, self._sides(g.shapes))], g.tops, **corners)

    def _left(self, bottom: Shape) -> tuple[int, int]:
        return (bottom[2] + sum(self.pad), bottom[3] + sum(self.pad))

    def _sides(self, bottoms: Shapes) -> tuple[int, int]:
        if len(bottoms) == 2:
            return (bottoms[1][2], bottoms[1][3])
        if self.size:
            return self.size
        small = [(side - 1) // self.shrink + 1 for side in self._left(bottoms[0])]
        height, width = (side + (side - 1) * (self.zoom - 1) for side in small)
        return (height, width)

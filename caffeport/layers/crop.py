"""Crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site
from caffeport.layers.coordinates import overlay
from caffeport.layers.shapes import axis_of, show


@dataclass(frozen=True, slots=True)
class Crop(Layer):
    """Cuts the first bottom to the second's sides from `axis` on, starting at `offset` (one for all axes, or each).

    HED's fork (s9xie/hed, crop_layer.cpp) has no crop_param: it starts where the second bottom's first place lies in
    the first, from the pads and strides between them. That holds where crop_param is absent and the first bottom is
    computed from the second, which BVLC's own offset of 0 would misplace.
    """

    type = "Crop"
    bottoms = (2, 2)
    mirrors = "crop_layer.cpp"
    relative = True

    axis: int
    offset: tuple[int, ...]
    silent: bool = False

    @classmethod
    def read(cls, f: Fields, at: Site) -> Crop:
        p = f.sub("crop_param")
        return cls(p.int("axis"), p.ints("offset"), not f.has("crop_param"))

    def between(self, path: Sequence[tuple[Layer, Shapes]] | None) -> Crop:
        """Where there is no crop_param: starting where the two bottoms lie over each other."""
        return replace(self, offset=overlay(path)) if self.silent and path else self

    def infer(self, bottoms: Shapes) -> Inferred:
        axis = axis_of(self.axis, len(bottoms[0]))
        if len(bottoms[1]) != len(bottoms[0]):
            raise Misfit(f"bottom 1 is {show(bottoms[1])}, bottom 0 is {show(bottoms[0])}", "as many axes are needed")
        for place, start in enumerate(self._offsets(bottoms), axis):
            if start + bottoms[1][place] > bottoms[0][place]:
                raise Misfit(
                    f"takes {bottoms[1][place]} from {start} on of axis {place}, which has {bottoms[0][place]}",
                    "it must lie within the first bottom",
                )
        return Inferred(((*bottoms[0][:axis], *bottoms[1][axis:]),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Crop", (axis_of(self.axis, len(bottoms[0])), self._offsets(bottoms)))

    def onnx(self, g: Onnx) -> None:
        axis, starts = axis_of(self.axis, len(g.shapes[0])), self._offsets(g.shapes)
        ends = [start + side for start, side in zip(starts, g.shapes[1][axis:], strict=True)]
        axes = range(axis, len(g.shapes[0]))
        g.op("Slice", [g.bottoms[0], g.ints(starts), g.ints(ends), g.ints(list(axes))], g.tops)

    def _offsets(self, bottoms: Shapes) -> Shape:
        axes = len(bottoms[0]) - axis_of(self.axis, len(bottoms[0]))
        if len(self.offset) > 1 and len(self.offset) != axes:
            raise Misfit(f"offset is given {len(self.offset)} times for {axes} axes", "none, one, or one per axis")
        return self.offset if len(self.offset) > 1 else (self.offset or (0,)) * axes

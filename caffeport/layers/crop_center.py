"""CropCenter: as much off both ends of each axis."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class CropCenter(Layer):
    """Takes crop_size off both ends of each axis.

    lltcggie/caffe: crop_center_layer.cpp.
    """

    type = "CropCenter"
    fork = "waifu2x"
    mirrors = "crop_center_layer.cpp"

    sizes: tuple[int, ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> CropCenter:
        return cls(f.sub("crop_center_param").ints("crop_size"))

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(self.sizes) != len(bottoms[0]):
            raise Misfit(f"crop_size is given {len(self.sizes)} times", f"{len(bottoms[0])} times, one per axis")
        top = tuple(side - 2 * size for side, size in zip(bottoms[0], self.sizes, strict=True))
        if min(top, default=1) < 1:
            raise Misfit(f"crop_size {list(self.sizes)} leaves nothing of {show(bottoms[0])}", "something must be left")
        return Inferred((top,))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("CropCenter", self.sizes)

    def onnx(self, g: Onnx) -> None:
        axes = [axis for axis, size in enumerate(self.sizes) if size]
        if not axes:
            g.op("Identity", g.bottoms, g.tops)
            return
        starts = [self.sizes[axis] for axis in axes]
        ends = g.ints([-start for start in starts])
        g.op("Slice", [g.bottoms[0], g.ints(starts), ends, g.ints(axes)], g.tops)

"""SPP: spatial pyramid pooling, which gives one length for pictures of any size."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site
from caffeport.layers.pools import Geometry, pool_node
from caffeport.layers.shapes import four_axes, show
from caffeport.layers.windows import Window, check_pads, pool

#: Finer than one place per pixel of any picture; a bound for hostile files.
_MOST_LEVELS = 16


@dataclass(frozen=True, slots=True)
class SPP(Layer):
    """Poolings of N x C x H x W into 1 x 1, 2 x 2, 4 x 4 ... places, flattened and joined."""

    type = "SPP"
    mirrors = "spp_layer.cpp"

    method: str
    height: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> SPP:
        p = f.sub("spp_param")
        p.ignore("engine")  # cuDNN computes the same
        height = p.int("pyramid_height")
        if not 1 <= height <= _MOST_LEVELS:
            raise p.refuse("pyramid_height", f"is {height}", f"1 to {_MOST_LEVELS} are possible")
        return cls(p.enum("pool"), height)

    def infer(self, bottoms: Shapes) -> Inferred:
        levels = self._levels(bottoms[0])
        for level, over in enumerate(levels):
            if self.method == "STOCHASTIC" and any(over.window.pad):
                raise Misfit(f"level {level} needs a pad with pool: STOCHASTIC", "Caffe pads MAX and AVE only")
            try:
                check_pads(over.window)
            except Misfit as misfit:
                sides = show(over.sides)
                raise Misfit(f"level {level} on {sides}: {misfit.what}", misfit.allowed, "use fewer levels") from None
        batch, channels = bottoms[0][:2]
        places = [pool(over.sides, over.window, ceil=True) for over in levels]
        if len(places) == 1:
            return Inferred(((batch, channels, *places[0]),))
        return Inferred(((batch, channels * sum(high * wide for high, wide in places)),))

    def torch(self, bottoms: Shapes) -> Call:
        levels = tuple((over.window.kernel, over.window.pad) for over in self._levels(bottoms[0]))
        return Call("SPP", (self.method, levels))

    def onnx(self, g: Onnx) -> None:
        levels = self._levels(g.shapes[0])
        if len(levels) == 1:
            pool_node(g, self.method, levels[0], g.tops)
            return
        flat = [g.op("Flatten", [pool_node(g, self.method, over, None)], axis=1) for over in levels]
        g.op("Concat", flat, g.tops, axis=1)

    def _levels(self, bottom: Shape) -> list[Geometry]:
        four_axes((bottom,))
        if 0 in bottom:
            raise Misfit(f"the bottom is {show(bottom)}", "Caffe pools no empty sides")
        found = []
        for bins in (1 << level for level in range(self.height)):
            kernel = tuple(-(-side // bins) for side in bottom[2:])
            # Half of what is missing to cover the bottom, rounded up, goes on each side.
            pad = tuple((k * bins - side + 1) // 2 for k, side in zip(kernel, bottom[2:], strict=True))
            found.append(Geometry(bottom[2:], Window(kernel, kernel, pad), ceil=True))
        return found

"""Pooling: maximum, average or stochastic, with Caffe's own rounding up."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site
from caffeport.layers.pools import Geometry, mask_nodes, pool_call, pool_node
from caffeport.layers.shapes import four_axes
from caffeport.layers.windows import Window, check, check_pads, pool, read_pair


@dataclass(frozen=True, slots=True)
class Pooling(Layer):
    """Maximum, average or stochastic pooling of N x C x H x W; output sides are rounded up unless told otherwise."""

    type = "Pooling"
    tops = (1, 2)
    mirrors = "pooling_layer.cpp, pooling_layer.cu"

    method: str
    window: Window
    everything: bool
    ceil: bool
    mask: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Pooling:
        p = f.sub("pooling_param")
        p.ignore("engine")  # cuDNN computes the same
        method, everything = p.enum("pool"), p.bool("global_pooling")
        if everything and (set_ := [name for name in ("kernel_size", "kernel_h", "kernel_w") if p.has(name)]):
            raise p.refuse(set_[0], "is set beside global_pooling", "Caffe takes one of the two")
        if at.tops == 2 and method != "MAX":
            raise p.refuse("pool", f"is {method} with two tops", "a mask comes with MAX only")
        kernel = (0, 0) if everything else read_pair(p, "kernel_size", "kernel", None)
        window = Window(kernel, read_pair(p, "stride", "stride", 1), read_pair(p, "pad", "pad", 0))
        if any(window.pad) and method == "STOCHASTIC":
            raise p.refuse("pad", "is set with pool: STOCHASTIC", "Caffe pads MAX and AVE only")
        # `ceil_mode` is a fork's way to say round_mode.
        ceil = p.enum("round_mode") == "CEIL" and p.bool("ceil_mode", True)
        return cls(method, window, everything, ceil, at.tops == 2)

    def infer(self, bottoms: Shapes) -> Inferred:
        over = self._over(bottoms[0])
        check_pads(over.window)
        if self.everything and (max(over.window.pad) > 0 or max(over.window.stride) > 1):
            raise Misfit("global_pooling has a pad or a stride", "Caffe wants pad 0 and stride 1 here")
        top = (*bottoms[0][:2], *pool(over.sides, over.window, self.ceil))
        return Inferred((top,) * (1 + self.mask))

    def torch(self, bottoms: Shapes) -> Call:
        if self.everything and not self.mask and self.method != "STOCHASTIC":
            return Call("GlobalPool", (self.method,))
        return pool_call(self.method, self._over(bottoms[0]), self.everything, self.mask)

    def onnx(self, g: Onnx) -> None:
        if self.mask:
            mask_nodes(g, self._over(g.shapes[0]))
        elif self.everything and self.method != "STOCHASTIC":
            g.op("GlobalMaxPool" if self.method == "MAX" else "GlobalAveragePool", g.bottoms, g.tops)
        else:
            pool_node(g, self.method, self._over(g.shapes[0]), g.tops)

    def _over(self, bottom: Shape) -> Geometry:
        four_axes((bottom,))
        kernel = bottom[2:] if self.everything else self.window.kernel
        return Geometry(bottom[2:], check(Window(kernel, self.window.stride, self.window.pad)), self.ceil)

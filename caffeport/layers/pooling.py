"""Pooling: maximum, average or stochastic, with Caffe's own rounding up."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site
from caffeport.layers.shapes import show
from caffeport.layers.windows import Window, brief, check, pool, read_pair, tails


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
        p.ignore("engine")
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
        window = self._over(bottoms[0])
        if any(p >= k for p, k in zip(window.pad, window.kernel, strict=True)):
            raise Misfit(f"pad is {window.pad} with kernel {window.kernel}", "Caffe wants pad below kernel")
        if self.everything and (max(window.pad) > 0 or max(window.stride) > 1):
            raise Misfit("global_pooling has a pad or a stride", "Caffe wants pad 0 and stride 1 here")
        top = (*bottoms[0][:2], *pool(bottoms[0][2:], window, self.ceil))
        return Inferred((top,) * (1 + self.mask))

    def torch(self, bottoms: Shapes) -> Call:
        if self.everything and not self.mask and self.method != "STOCHASTIC":
            return Call("GlobalPool", (self.method,))
        window = self._over(bottoms[0])
        deep = any(2 * p > k for p, k in zip(window.pad, window.kernel, strict=True))  # torch refuses these
        if self.mask or self.method == "STOCHASTIC" or deep or self._empty(bottoms[0]):
            kwargs: dict[str, Any] = {"ceil_mode": self.ceil}
            if self.mask:
                kwargs["mask"] = True
            kernel = None if self.everything else window.kernel
            return Call("Pool", (self.method, kernel, window.stride, window.pad), kwargs)
        kwargs = {"kernel_size": brief(window.kernel), "stride": brief(window.stride)}
        if any(window.pad):
            kwargs["padding"] = brief(window.pad)
        # Spelled out even where up and down agree: for other sides they need not.
        kwargs["ceil_mode"] = self.ceil
        return Call("nn.MaxPool2d" if self.method == "MAX" else "nn.AvgPool2d", (), kwargs)

    def onnx(self, g: Onnx) -> None:
        if self.mask or self.method == "STOCHASTIC":
            raise g.refuse(f"ONNX has no pooling {'with a mask as Caffe counts it' if self.mask else 'by chance'}")
        kind = "MaxPool" if self.method == "MAX" else "AveragePool"
        if self.everything:
            g.op(f"Global{kind}", g.bottoms, g.tops)
            return
        window = self._over(g.shapes[0])
        ends = tuple(max(0, tail) for tail in tails(g.shapes[0][2:], g.top_shapes[0][2:], window))
        options = {"kernel_shape": window.kernel, "strides": window.stride, "pads": window.pad + ends}
        if self.method == "AVE":
            _average(g, window, options)
        elif self._empty(g.shapes[0]):
            pads = g.ints((0, 0, *window.pad, 0, 0, *ends))
            padded = g.op("Pad", [g.bottoms[0], pads, g.floats(-3.4028234663852886e38)], mode="constant")
            g.op(kind, [padded], g.tops, **options | {"pads": (0, 0, 0, 0)})
        else:
            g.op(kind, g.bottoms, g.tops, **options)

    def _over(self, bottom: Shape) -> Window:
        if len(bottom) != 4:
            raise Misfit(f"the bottom is {show(bottom)}", "Caffe pools four axes (N x C x H x W)")
        return check(Window(bottom[2:] if self.everything else self.window.kernel, self.window.stride, self.window.pad))

    def _empty(self, bottom: Shape) -> bool:
        """Whether a last window lies wholly past the bottom: torch drops it, ONNX Runtime refuses it."""
        window = self._over(bottom)
        ends = tails(bottom[2:], pool(bottom[2:], window, self.ceil), window)
        return any(end >= k for end, k in zip(ends, window.kernel, strict=True))


def _average(g: Onnx, window: Window, options: dict[str, Any]) -> None:
    """Caffe divides by the window as far as it lies on the padded bottom; ONNX, with explicit pads, by all of it."""
    sides = zip(g.shapes[0][2:], g.top_shapes[0][2:], window.kernel, window.stride, window.pad, strict=True)
    lengths = [[min(i * s - p + k, size + p) - (i * s - p) for i in range(out)] for size, out, k, s, p in sides]
    if min(map(min, lengths)) < 1:
        raise g.refuse("an average over an empty window, which Caffe gives as NaN")
    whole = prod(window.kernel)
    clipped = [[whole / (h * w) for w in lengths[1]] for h in lengths[0]]
    if all(ratio == 1 for row in clipped for ratio in row):
        g.op("AveragePool", g.bottoms, g.tops, count_include_pad=1, **options)
        return
    average = g.op("AveragePool", g.bottoms, count_include_pad=1, **options)
    g.op("Mul", [average, g.floats(clipped)], g.tops)

"""Local response normalisation, across channels or within each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.shapes import four_axes


@dataclass(frozen=True, slots=True)
class LRN(Layer):
    """x / (k + alpha * mean of squares)^beta, the mean over `size` channels or over a size x size window."""

    type = "LRN"
    mirrors = "lrn_layer.cpp"

    size: int
    alpha: float
    beta: float
    k: float
    within: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> LRN:
        p = f.sub("lrn_param")
        p.ignore("engine")  # cuDNN computes the same
        size, within = p.int("local_size"), p.enum("norm_region") == "WITHIN_CHANNEL"
        if size % 2 == 0:
            raise p.refuse("local_size", f"is {size}", "Caffe allows odd sizes only")
        # Within a channel Caffe's k is 1, whatever the field says: it builds the sum from a Power layer with shift 1.
        k = p.float("k")
        return cls(size, p.float("alpha"), p.float("beta"), 1.0 if within else k, within)

    def infer(self, bottoms: Shapes) -> Inferred:
        four_axes(bottoms)
        return Inferred(bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        if self.within:
            return Call("LRNWithinChannel", (self.size,), {"alpha": self.alpha, "beta": self.beta})
        return Call("nn.LocalResponseNorm", (self.size,), {"alpha": self.alpha, "beta": self.beta, "k": self.k})

    def onnx(self, g: Onnx) -> None:
        if not self.within:
            g.op("LRN", g.bottoms, g.tops, size=self.size, alpha=self.alpha, beta=self.beta, bias=self.k)
            return
        half = self.size // 2
        window: dict[str, Any] = {"kernel_shape": (self.size, self.size), "pads": (half,) * 4, "count_include_pad": 1}
        mean = g.op("AveragePool", [g.op("Mul", [g.bottoms[0], g.bottoms[0]])], **window)
        scale = g.op("Add", [g.op("Mul", [mean, g.floats(self.alpha)]), g.floats(1.0)])
        g.op("Mul", [g.bottoms[0], g.op("Pow", [scale, g.floats(-self.beta)])], g.tops)

"""BN: three forks' normalisation with its affine part, told apart by their fields."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.dialects import bn_dialect
from caffeport.layers.faces import options
from caffeport.layers.nodes import moments, per_channel


@dataclass(frozen=True, slots=True)
class BN(Layer):
    """(x - mean) / sqrt(variance + eps) * scale + shift per channel.

    Three dialects, told by `dialects.bn_dialect`. TSN's and the later PSPNet's (yjxiong/caffe, hszhao/PSPNet:
    bn_layer.cpp) has four blobs: slope, bias, mean, variance. So has PSPNet's first (same file, older commits), whose
    moving_average may be off. SegNet's and ENet's (alexgkendall/caffe-segnet: bn_layer.cpp) has two: bn_mode LEARN
    takes the batch's own statistics in every phase, INFERENCE none at all, as scale and shift then hold them.
    """

    type = "BN"
    fork = "SegNet, PSPNet, TSN"
    mirrors = "bn_layer.cpp"

    dialect: str
    eps: float
    momentum: float
    frozen: bool
    own: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> BN:
        p = f.sub("bn_param")
        dialect = bn_dialect(f, p)
        # What training from scratch begins with, and cuDNN's way to the same numbers.
        p.ignore("slope_filler", "bias_filler", "scale_filler", "shift_filler", "engine")
        if dialect == "TSN":
            return cls(dialect, p.float("eps"), p.float("momentum"), p.bool("frozen"), False)
        if dialect == "PSPNet":
            if (axis := p.int("axis", 1)) != 1:
                raise p.refuse("axis", f"is {axis}", "1")
            # An average over past batches that is not used in evaluation leaves the batch's own.
            return cls(dialect, p.float("var_eps"), 1 - p.float("decay"), False, not p.bool("moving_average"))
        mode = p.enum("bn_mode")
        return cls(f"SegNet {mode}", 1e-9, 0.0, False, mode == "LEARN")

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[0]) < 2:
            raise Misfit(f"the bottom has {len(bottoms[0])} axes", "channels are the second")
        return Inferred(bottoms, (self._blob(bottoms),) * (2 if self.dialect.startswith("SegNet") else 4))

    def torch(self, bottoms: Shapes) -> Call:
        shape = self._blob(bottoms)
        if self.dialect == "SegNet INFERENCE":
            wide = (bottoms[0][1], *(1,) * (len(bottoms[0]) - 2))
            return Call("Scale", (shape, wide), {"bias": True}, ("weight", "bias"))
        if self.dialect == "SegNet LEARN":
            return Call("BN", (shape,), {"eps": self.eps, "statistics": False}, ("weight", "bias"))
        modes = options(frozen=(self.frozen, False), own=(self.own, False))
        kwargs = {"eps": self.eps, "momentum": self.momentum, **modes}
        return Call("BN", (shape,), kwargs, ("weight", "bias", "mean", "variance"))

    def onnx(self, g: Onnx) -> None:
        blobs = [g.op("Reshape", [blob, g.ints([-1])]) for blob in g.params]
        if len(blobs) == 4 and not self.own:
            g.op("BatchNormalization", [g.bottoms[0], *blobs], g.tops, epsilon=self.eps)
            return
        x, axes = g.bottoms[0], len(g.shapes[0])
        if self.own:
            x, variance = moments(g, x, [axis for axis in range(axes) if axis != 1])
            x = g.op("Div", [x, g.op("Sqrt", [g.op("Add", [variance, g.floats(self.eps)])])])
        weight, bias = (per_channel(g, blob, axes) for blob in blobs[:2])
        g.op("Add", [g.op("Mul", [x, weight]), bias], g.tops)

    def _blob(self, bottoms: Shapes) -> tuple[int, ...]:
        return (1, bottoms[0][1]) if self.dialect == "TSN" else (1, bottoms[0][1], 1, 1)

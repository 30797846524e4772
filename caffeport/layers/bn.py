"""BN: three forks' normalisation with its affine part, told apart by their fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site


@dataclass(frozen=True, slots=True)
class BN(Layer):
    """(x - mean) / sqrt(variance + eps) * scale + shift per channel.

    Three dialects. TSN's and the later PSPNet's (yjxiong/caffe, hszhao/PSPNet: bn_layer.cpp) has slope_filler,
    bias_filler, momentum, eps, frozen, and four blobs: slope, bias, mean, variance. SegNet's and ENet's
    (alexgkendall/caffe-segnet: bn_layer.cpp) has scale_filler, shift_filler, bn_mode, and two blobs: LEARN takes the
    batch's own statistics in every phase, INFERENCE none at all, as scale and shift then hold them. PSPNet's first
    (hszhao/PSPNet, same file, older commits) has scale_filler, shift_filler, var_eps, decay, moving_average, and four
    blobs. A layer with none of these fields is told by how many `param` it has: four, or two.
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
        dialect = _dialect(f, p)
        p.ignore("slope_filler", "bias_filler", "scale_filler", "shift_filler", "engine")
        if dialect == "TSN":
            return cls(dialect, p.float("eps"), p.float("momentum"), p.bool("frozen"), False)
        if dialect == "PSPNet":
            if p.int("axis", 1) != 1:
                raise p.refuse("axis", f"is {p.int('axis', 1)}", "1")
            # An average over past batches that is not used in evaluation leaves the batch's own.
            own = not p.bool("moving_average")
            return cls(dialect, p.float("var_eps"), 1 - p.float("decay"), False, own)
        return cls(f"SegNet {p.enum('bn_mode')}", 1e-9, 0.0, False, True)

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
        kwargs: dict[str, Any] = {"eps": self.eps, "momentum": self.momentum}
        kwargs |= {name: True for name in ("frozen", "own") if getattr(self, name)}
        return Call("BN", (shape,), kwargs, ("weight", "bias", "mean", "variance"))

    def onnx(self, g: Onnx) -> None:
        blobs = [g.op("Reshape", [blob, g.ints([-1])]) for blob in g.params]
        if self.dialect != "SegNet INFERENCE" and not self.own:
            g.op("BatchNormalization", [g.bottoms[0], *blobs], g.tops, epsilon=self.eps)
            return
        axes = len(g.shapes[0])
        weight, bias = (g.op("Reshape", [blob, g.ints((-1, *(1,) * (axes - 2)))]) for blob in blobs[:2])
        x = g.bottoms[0]
        if self.own and self.dialect != "SegNet INFERENCE":
            over = [axis for axis in range(axes) if axis != 1]
            x = g.op("Sub", [x, g.op("ReduceMean", [x], axes=over)])
            variance = g.op("ReduceMean", [g.op("Mul", [x, x])], axes=over)
            x = g.op("Div", [x, g.op("Sqrt", [g.op("Add", [variance, g.floats(self.eps)])])])
        g.op("Add", [g.op("Mul", [x, weight]), bias], g.tops)

    def _blob(self, bottoms: Shapes) -> tuple[int, ...]:
        channels = bottoms[0][1]
        return (1, channels) if self.dialect == "TSN" else (1, channels, 1, 1)


def _dialect(f: Fields, p: Fields) -> str:
    """The fork whose fields the layer has."""
    marks = {
        "TSN": ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine"),
        "PSPNet": ("var_eps", "decay", "moving_average", "axis"),
        "SegNet": ("bn_mode",),
    }
    found = [name for name, fields in marks.items() if any(p.has(field) for field in fields)]
    if len(found) > 1:
        raise p.refuse("bn_param", f"has fields of several forks: {', '.join(found)}", "those of one fork")
    if found:
        return found[0]
    if p.has("scale_filler") or p.has("shift_filler") or f.count("param") == 2:
        return "SegNet"
    if f.count("param") == 4:
        return "TSN"
    todo = "write bn_param { frozen: true } for TSN's and PSPNet's, bn_param { bn_mode: INFERENCE } for SegNet's"
    raise p.refuse("bn_param", "does not tell whose BN this is", "SegNet, PSPNet and TSN mean different things", todo)

"""Power."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import options, unary
from caffeport.layers.nodes import chain, fill


@dataclass(frozen=True, slots=True)
class Power(Layer):
    """(shift + scale * x) ^ power; a constant without gradient where power or scale is 0."""

    type = "Power"
    mirrors = "power_layer.cpp"

    power: float
    scale: float
    shift: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Power:
        p = f.sub("power_param")
        power, scale, shift = p.float("power"), p.float("scale"), p.float("shift")
        if scale == 0 and ((shift < 0 and power % 1 != 0) or (shift == 0 and power < 0)):
            raise p.refuse("power", f"is {power} with scale 0 and shift {shift}", "the result is no number")
        if scale == 0 and power and isinf(_constant(shift, power)):
            raise p.refuse("power", f"is {power} with shift {shift}", "the result is beyond any float")
        return cls(power, scale, shift)

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = options(power=(self.power, 1.0), scale=(self.scale, 1.0), shift=(self.shift, 0.0))
        return Call("Power", (), kwargs)

    def onnx(self, g: Onnx) -> None:
        if self.power * self.scale == 0:
            fill(g, 1.0 if self.power == 0 else _constant(self.shift, self.power))
        else:
            chain(g, ("Mul", self.scale), ("Add", self.shift), ("Pow", self.power))


def _constant(shift: float, power: float) -> float:
    """shift ^ power, infinite where Python would raise."""
    try:
        return float(shift**power)
    except OverflowError:
        return inf

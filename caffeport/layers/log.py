"""Log."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import options, unary
from caffeport.layers.nodes import chain


@dataclass(frozen=True, slots=True)
class Log(Layer):
    """log(shift + scale * x) to the base `base`; -1 stands for e."""

    type = "Log"
    mirrors = "log_layer.cpp"

    base: float
    scale: float
    shift: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> Log:
        p = f.sub("log_param")
        base = p.float("base")
        if base != -1 and (base == 1 or not 0 < base < inf):
            raise p.refuse("base", f"is {base}", "above 0 and other than 1 is possible, or -1 for e")
        return cls(base, p.float("scale"), p.float("shift"))

    infer = unary

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = options(base=(self.base, -1.0), scale=(self.scale, 1.0), shift=(self.shift, 0.0))
        return Call("Log", (), kwargs)

    def onnx(self, g: Onnx) -> None:
        rate = 1.0 if self.base == -1 else log(self.base)
        chain(g, ("Mul", self.scale), ("Add", self.shift), ("Log", None), ("Mul", 1 / rate))

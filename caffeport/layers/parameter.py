"""Parameter: a learned blob as a top."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shape, Shapes, Site


@dataclass(frozen=True, slots=True)
class Parameter(Layer):
    """Hands out a learned blob of the shape given."""

    type = "Parameter"
    bottoms = (0, 0)
    mirrors = "parameter_layer.hpp"

    shape: Shape

    @classmethod
    def read(cls, f: Fields, at: Site) -> Parameter:
        p = f.sub("parameter_param")
        shape = p.sub("shape").ints("dim")
        if any(side < 1 for side in shape):
            raise p.refuse("shape", f"is {shape}", "sides of 1 or more are possible")
        return cls(shape)

    def infer(self, bottoms: Shapes) -> Inferred:
        return Inferred((self.shape,), (self.shape,))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("LearnedBlob", (self.shape,), {}, ("weight",))

    def onnx(self, g: Onnx) -> None:
        g.op("Identity", g.params, g.tops)

"""Input: the net's inputs with their shapes."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Inferred, Layer, Misfit, Shapes, Site
from caffeport.layers.sources import no_call, no_nodes


@dataclass(frozen=True, slots=True)
class Input(Layer):
    """The net's inputs: one shape per top, or one for all of them."""

    type = "Input"
    bottoms = (0, 0)
    tops = (1, MANY)
    mirrors = "input_layer.cpp"
    source = True

    shapes: Shapes

    @classmethod
    def read(cls, f: Fields, at: Site) -> Input:
        p = f.sub("input_param")
        shapes = tuple(shape.ints("dim") for shape in p.subs("shape"))
        if len(shapes) not in (0, 1, at.tops):
            raise p.refuse("shape", f"is given {len(shapes)} times for {at.tops} tops", "once, or once per top")
        return cls(shapes * at.tops if len(shapes) == 1 else shapes)

    def infer(self, bottoms: Shapes) -> Inferred:
        if not self.shapes:
            raise Misfit("has no shape", "Caffe needs one here", "add input_param { shape { dim: ... } }")
        for shape in self.shapes:
            if any(side < 1 for side in shape):
                raise Misfit(f"shape {shape} has a side below 1", "1 or more is possible")
        return Inferred(self.shapes)

    torch = no_call
    onnx = no_nodes

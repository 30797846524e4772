"""DummyData: blobs filled by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.fillers import Filling, read_filler

_SIDES = ("num", "channels", "height", "width")


@dataclass(frozen=True, slots=True)
class DummyData(Layer):
    """Tops of given shapes from fillers: a constant stays what it is, the random ones are drawn anew at every pass."""

    type = "DummyData"
    bottoms = (0, 0)
    tops = (1, MANY)
    mirrors = "dummy_data_layer.cpp"

    shapes: Shapes
    fillers: tuple[Filling, ...]

    @classmethod
    def read(cls, f: Fields, at: Site) -> DummyData:
        p = f.sub("dummy_data_param")
        shapes = _shapes(p, at.tops)
        fillers = p.subs("data_filler")
        if len(fillers) not in (0, 1, at.tops):
            given = f"is given {len(fillers)} times for {at.tops} tops"
            raise p.refuse("data_filler", given, "none, one, or one per top")
        wide = fillers if len(fillers) == at.tops else fillers[:1] * at.tops
        drawn = [read_filler(filler, shape) for filler, shape in zip(wide, shapes, strict=False)]
        return cls(shapes, tuple(drawn) or (("constant", (0.0,)),) * at.tops)

    def infer(self, bottoms: Shapes) -> Inferred:
        return Inferred(self.shapes)

    def torch(self, bottoms: Shapes) -> Call:
        return Call("DummyData", (self.shapes, self.fillers))

    def onnx(self, g: Onnx) -> None:
        for top, shape, (kind, numbers) in zip(g.tops, self.shapes, self.fillers, strict=True):
            if kind != "constant":
                raise g.refuse(f"the data are drawn anew at every pass ({kind}), an ONNX model has no such state")
            g.op("Expand", [g.floats(numbers[0]), g.ints(shape)], [top])


def _shapes(p: Fields, tops: int) -> Shapes:
    """One shape per top, from `shape` or from the older num, channels, height, width."""
    new = [shape.ints("dim") for shape in p.subs("shape")]
    old = {name: p.ints(name) for name in _SIDES}
    if new and any(old.values()):
        raise p.refuse("shape", "is given beside num, channels, height or width", "Caffe takes one of the two")
    for name, given in old.items() if not new else [("shape", new)]:
        if len(given) not in (1, tops):
            raise p.refuse(name, f"is given {len(given)} times for {tops} tops", "once, or once per top")
    shapes = new or list(zip(*(sides * (tops if len(sides) == 1 else 1) for sides in old.values()), strict=True))
    shapes = shapes * tops if len(shapes) == 1 else shapes
    for shape in shapes:
        if any(side < 1 for side in shape) or prod(shape) > 1 << 31:
            raise p.refuse("shape", f"is {shape}", "sides of 1 or more are possible, 2^31 numbers in all")
    return tuple(shapes)

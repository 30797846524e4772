"""DummyData: blobs filled by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shape, Shapes, Site
from caffeport.layers.shapes import show

#: What fills a top: its kind, and the kind's numbers.
Filling: TypeAlias = tuple[str, tuple[float, ...]]

_SIDES = ("num", "channels", "height", "width")
_KINDS = ("constant", "uniform", "gaussian", "xavier", "msra", "positive_unitball", "bilinear")


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
        drawn = [_filler(filler, shape) for filler, shape in zip(wide, shapes, strict=False)]
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


def _filler(p: Fields, shape: Shape) -> Filling:
    """What to draw: its kind and its numbers, with xavier and msra worked out for the shape."""
    kind = p.str("type")
    numbers = {name: p.float(name) for name in ("value", "min", "max", "mean", "std")}
    sparse, norm = p.int("sparse"), p.enum("variance_norm")
    num, channels = (*shape, 1, 1)[:2]
    fans = {"FAN_IN": prod(shape) / num, "FAN_OUT": prod(shape) / channels}
    fan = fans.get(norm, sum(fans.values()) / 2)
    match kind:
        case "constant":
            return ("constant", (numbers["value"],))
        case "uniform":
            return ("uniform", (numbers["min"], numbers["max"]))
        case "xavier":
            return ("uniform", (-((3 / fan) ** 0.5), (3 / fan) ** 0.5))
        case "msra":
            return ("gaussian", (0.0, (2 / fan) ** 0.5))
        case "gaussian" if sparse >= 0:
            return ("gaussian", (numbers["mean"], numbers["std"], sparse / num))
        case "gaussian":
            return ("gaussian", (numbers["mean"], numbers["std"]))
        case "positive_unitball":
            return ("shares", ())
        case "bilinear" if len(shape) == 4 and shape[2] == shape[3]:
            return ("bilinear", ())
        case "bilinear":
            raise p.refuse("type", f"is 'bilinear' for {show(shape)}", "four axes, the last two equal, are possible")
    raise p.refuse("type", f"is {kind!r}", f"{', '.join(_KINDS)} are possible")

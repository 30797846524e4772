"""What FillerParameter says about the numbers of a blob."""

from __future__ import annotations

from math import prod
from typing import TypeAlias

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Shape
from caffeport.layers.shapes import show

#: What fills a blob: its kind, and the kind's numbers.
Filling: TypeAlias = tuple[str, tuple[float, ...]]

_KINDS = ("constant", "uniform", "gaussian", "xavier", "msra", "positive_unitball", "bilinear")


def read_filler(p: Fields, shape: Shape) -> Filling:
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

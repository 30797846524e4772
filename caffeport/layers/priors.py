"""SSD's prior boxes: how PriorBoxParameter gives their sizes, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import inf, sqrt
from typing import Any, TypeAlias

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Shape

Pair: TypeAlias = tuple[float, float]


def read_sides(p: Fields, both: str, stem: str, get: Any) -> Any:
    """A number for height and width (None where neither is set), or one for each."""
    height, width = f"{stem}_h", f"{stem}_w"
    if p.has(height) or p.has(width):
        if p.has(both):
            raise p.refuse(both, f"is set beside {height} or {width}", "Caffe takes one of the two")
        sides = (get(height, 0), get(width, 0))
    elif p.has(both):
        sides = (get(both),) * 2
    else:
        return None
    if min(sides) <= 0:
        raise p.refuse(stem, f"is {sides}", "Caffe wants height and width above 0")
    return sides


def read_sizes(p: Fields) -> tuple[Pair, ...]:
    """Width and height of the boxes of one cell, in the layer's order."""
    small, large = p.floats("min_size"), p.floats("max_size")
    if not small or not all(0 < side < inf for side in (*small, *large)):
        raise p.refuse("min_size", f"is {list(small)}, max_size {list(large)}", "one or more positive sizes")
    if large and (len(large) != len(small) or any(b <= a for a, b in zip(small, large, strict=True))):
        found = f"is {list(large)} beside min_size {list(small)}"
        raise p.refuse("max_size", found, "none, or one above each min_size")
    ratios = [1.0]
    for ratio in p.floats("aspect_ratio"):
        if not 0 < ratio < inf:
            raise p.refuse("aspect_ratio", f"is {ratio}", "a number above 0")
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios += [ratio, 1 / ratio] if p.bool("flip") else [ratio]
    # Without ratios nothing asks whether to turn them.
    p.ignore("flip")
    sizes: list[Pair] = []
    for k, side in enumerate(map(int, small)):
        sizes.append((float(side), float(side)))
        if large:
            middle = sqrt(side * int(large[k]))
            sizes.append((middle, middle))
        # An early commit of the branch began these at the middle size; no setting tells, the last commit counts.
        sizes += [(side * sqrt(ratio), side / sqrt(ratio)) for ratio in ratios[1:] if abs(ratio - 1) >= 1e-6]
    return tuple(sizes)


def prior_boxes(cells: Shape, image: Shape, step: Pair | None, offset: float, sizes: Sequence[Pair]) -> list[float]:
    """Corners x1, y1, x2, y2 of all boxes in a row, as shares of the picture's sides; sides and steps go by (H, W)."""
    step = step or (image[0] / cells[0], image[1] / cells[1])
    return [
        ((cell[axis] + offset) * step[axis] + sign * size[axis] / 2) / image[axis]
        for cell in product(range(cells[0]), range(cells[1]))
        for size in ((h, w) for w, h in sizes)
        for sign in (-1, 1)
        for axis in (1, 0)
    ]

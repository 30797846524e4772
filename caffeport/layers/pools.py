"""One pooling as a module and as ONNX nodes, and its undoing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from caffeport.layers.base import Call, Onnx, Shape
from caffeport.layers.faces import options
from caffeport.layers.nodes import FLOAT, FLT_MAX, FLT_MIN, INT64, beside
from caffeport.layers.windows import Window, brief, pool, tails


@dataclass(frozen=True, slots=True)
class Geometry:
    """A window over a bottom's sides (H, W), every setting spelled out for both."""

    sides: Shape
    window: Window
    ceil: bool

    @property
    def ends(self) -> tuple[int, ...]:
        """How far the last windows reach past the bottom, 0 where they end before."""
        return tuple(max(0, tail) for tail in tails(self.sides, pool(self.sides, self.window, self.ceil), self.window))

    @property
    def empty(self) -> bool:
        """Whether a last window lies wholly past the bottom: torch drops it, ONNX Runtime refuses it."""
        return any(end >= k for end, k in zip(self.ends, self.window.kernel, strict=True))

    @property
    def areas(self) -> list[list[int]]:
        """What Caffe divides an average by: the window as far as it lies on the padded bottom (below 1 if past it)."""
        window, pooled = self.window, pool(self.sides, self.window, self.ceil)
        rows, columns = (
            [min(i * s - p + k, size + p) - (i * s - p) for i in range(out)]
            for size, out, k, s, p in zip(self.sides, pooled, window.kernel, window.stride, window.pad, strict=True)
        )
        return [[h * w for w in columns] for h in rows]


def pool_call(method: str, over: Geometry, everything: bool, mask: bool) -> Call:
    """torch's module where it can, else ours; the kernel follows the bottom's sides if it covers `everything`."""
    window = over.window
    deep = any(2 * p > k for p, k in zip(window.pad, window.kernel, strict=True))  # torch refuses these
    # Spelled out even where up and down agree: for other sides they need not.
    kwargs: dict[str, Any] = {"ceil_mode": over.ceil}
    if mask or method == "STOCHASTIC" or deep or over.empty:
        kernel = None if everything else window.kernel
        return Call("Pool", (method, kernel, window.stride, window.pad), kwargs | options(mask=(mask, False)))
    kwargs = {"kernel_size": brief(window.kernel), "stride": brief(window.stride)} | kwargs
    if any(window.pad):
        kwargs = {"padding": brief(window.pad)} | kwargs
    return Call("nn.MaxPool2d" if method == "MAX" else "nn.AvgPool2d", (), kwargs)


def pool_node(g: Onnx, method: str, over: Geometry, outputs: Sequence[str] | None) -> str:
    """MAX, AVE, or STOCHASTIC as in evaluation; returns the name of what was pooled."""
    if method == "MAX":
        return _slide(g, "MaxPool", g.bottoms[0], over, outputs)
    if method == "AVE":
        # ONNX, with explicit pads, divides by all of the window. An area of 0 gives NaN, as Caffe has it.
        whole = prod(over.window.kernel)
        ratios = [[whole / area if area else float("nan") for area in row] for row in over.areas]
        if all(ratio == 1 for row in ratios for ratio in row):
            return _slide(g, "AveragePool", g.bottoms[0], over, outputs)
        return g.op("Mul", [_slide(g, "AveragePool", g.bottoms[0], over, None), g.floats(ratios)], outputs)
    squares, sums = (
        g.op("Mul", [_slide(g, "AveragePool", x, over, None), g.floats(float(prod(over.window.kernel)))])
        for x in (g.op("Mul", [g.bottoms[0], g.bottoms[0]]), g.bottoms[0])
    )
    return g.op("Div", [squares, g.op("Add", [sums, g.floats(FLT_MIN)])], outputs)


def mask_nodes(g: Onnx, over: Geometry) -> None:
    """MaxPool with its indices, counted as Caffe counts them: h * W + w, -1 for an empty window."""
    (top, left), ends = over.window.pad, over.ends
    high, wide = over.sides[0] + top + ends[0], over.sides[1] + left + ends[1]
    framed, window = _frame(g, "MaxPool", g.bottoms[0], over), over.window
    largest, index = g.ops("MaxPool", [framed], 2, kernel_shape=window.kernel, strides=window.stride)
    g.op("Identity", [largest], [g.tops[0]])
    flat = g.op("Mod", [index, g.ints(high * wide)])
    row = g.op("Sub", [g.op("Div", [flat, g.ints(wide)]), g.ints(top)])
    column = g.op("Sub", [g.op("Mod", [flat, g.ints(wide)]), g.ints(left)])
    place = g.op("Add", [g.op("Mul", [row, g.ints(over.sides[1])]), column])
    found = g.op("Greater", [g.tops[0], g.floats(-FLT_MAX)])
    g.op("Where", [found, g.op("Cast", [place], to=FLOAT), g.floats(-1.0)], [g.tops[1]])


def unpool_nodes(g: Onnx, height: int, width: int) -> None:
    """Each value of the first bottom where the second, a mask, says, among zeros of the top's size."""
    zeros = g.op("Expand", [g.floats(0.0), beside(g, g.bottoms[0], 2, [height * width])])
    flat = g.ints((0, 0, -1))
    values, places = (g.op("Reshape", [bottom, flat]) for bottom in g.bottoms)
    filled = g.op("ScatterElements", [zeros, g.op("Cast", [places], to=INT64), values], axis=2)
    g.op("Reshape", [filled, g.ints((0, 0, height, width))], g.tops)


def _slide(g: Onnx, op: str, x: str, over: Geometry, outputs: Sequence[str] | None) -> str:
    options: dict[str, Any] = {"kernel_shape": over.window.kernel, "strides": over.window.stride}
    if over.empty:
        x = _frame(g, op, x, over)
    else:
        options["pads"] = over.window.pad + over.ends
    if op == "AveragePool":
        options["count_include_pad"] = 1
    return g.op(op, [x], outputs, **options)


def _frame(g: Onnx, op: str, x: str, over: Geometry) -> str:
    """The bottom with its padding as data: ONNX Runtime refuses pads that hold a whole window."""
    pads = (0, 0, *over.window.pad, 0, 0, *over.ends)
    if not any(pads):
        return x
    return g.op("Pad", [x, g.ints(pads), g.floats(-FLT_MAX if op == "MaxPool" else 0.0)], mode="constant")

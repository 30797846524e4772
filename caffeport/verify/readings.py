"""Second, plain versions of the commonest layers, each with the ways in which it is known to be misread.

They serve suspicion only: a port that is wrong gives the values of one of these misreadings, or of none that is known.
Settings come from the net's fields and not from `layers`, so that a mistake there cannot hide itself here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from caffeport.caffe.fields import Fields

Settings: TypeAlias = Mapping[str, Any]
Variants: TypeAlias = Iterator[tuple[str, Settings]]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a layer type is read (`settings`), computed (float64 in, first top out) and misread (phrase, settings)."""

    settings: Callable[[Fields, Sequence[Tensor]], Settings]
    compute: Callable[[Settings, Sequence[Tensor], Sequence[Tensor]], Tensor]
    misread: Callable[[Settings], Variants]


def _pair(p: Fields, name: str, stem: str, default: int, axes: int = 2) -> tuple[int, ...]:
    if p.has(f"{stem}_h") or p.has(f"{stem}_w"):
        return p.int(f"{stem}_h", default), p.int(f"{stem}_w", default)
    if name in ("kernel_size", "stride", "pad") and p.schema_type == "PoolingParameter":
        return (p.int(name, default),) * 2
    given = p.ints(name) or (default,)
    return given if len(given) == axes else (given[0],) * axes


def _sides(s: Settings, *names: str) -> Variants:
    """Height and width mixed up."""
    for name in names:
        sides = s[name]
        if len(set(sides)) > 1:
            first, last, axes = sides[0], sides[-1], len(sides)
            yield f"{name}_w is taken to be {name}_h ({first}; the net has {last})", {name: (first,) * axes}
            yield f"{name}_h is taken to be {name}_w ({last}; the net has {first})", {name: (last,) * axes}
            yield f"{name}_h and {name}_w are swapped", {name: sides[::-1]}
        if name in ("pad", "dilation") and any(side != (name == "dilation") for side in sides):
            yield f"{name} is dropped (the net has {sides[0]})", {name: (int(name == "dilation"),) * len(sides)}


def _convolution(f: Fields, x: Sequence[Tensor]) -> Settings:
    p = f.sub("convolution_param")
    axes = x[0].dim() - 2
    stride, pad = (_pair(p, name, name, default, axes) for name, default in (("stride", 1), ("pad", 0)))
    return {
        "stride": stride,
        "pad": pad,
        "dilation": _pair(p, "dilation", "dilation", 1, axes),
        "group": p.int("group"),
        "bias": p.bool("bias_term"),
        "weight": "as stored",
        "bottom": "as it is",
    }


def _misread_convolution(s: Settings) -> Variants:
    yield from _sides(s, "pad", "stride", "dilation")
    if s["bias"]:
        yield "the bias is dropped", {"bias": False}
    if s["group"] > 1:
        yield f"group is ignored (the net has {s['group']})", {"group": 1}
        yield f"group is misread (the net has {s['group']}): channels go to the groups in turn", {"bottom": "in turn"}
    yield "weights are transposed: rows and columns of the kernel are swapped", {"weight": "transposed"}
    yield "the kernel is flipped", {"weight": "flipped"}
    yield "the channel order of the bottom is reversed (BGR and RGB swapped)", {"bottom": "reversed"}


def _weight(s: Settings, w: Tensor) -> Tensor:
    if s["weight"] == "transposed":
        return w.transpose(-1, -2) if w.shape[-1] == w.shape[-2] else w
    return w.flip(tuple(range(2, w.dim()))) if s["weight"] == "flipped" else w


def _bottom(s: Settings, x: Tensor) -> Tensor:
    if s["bottom"] == "in turn":
        return x.reshape(x.shape[0], -1, s["group"], *x.shape[2:]).transpose(1, 2).reshape(x.shape)
    return x.flip(1) if s["bottom"] == "reversed" else x


def _convolve(s: Settings, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    weight, bottom = _weight(s, w[0]), _bottom(s, x[0])
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[x[0].dim() - 2]
    bias = w[1] if s["bias"] else None
    if s["group"] == 1 and weight.shape[1] != bottom.shape[1]:
        # What a reader gets who takes the grouped weights for whole ones: the first channels only.
        bottom = bottom[:, : weight.shape[1]]
    return convolve(bottom, weight, bias, s["stride"], s["pad"], s["dilation"], s["group"])


def _deconvolve(s: Settings, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    convolve = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[x[0].dim() - 2]
    bias = w[1] if s["bias"] else None
    zero = (0,) * len(s["stride"])
    return convolve(_bottom(s, x[0]), _weight(s, w[0]), bias, s["stride"], s["pad"], zero, s["group"], s["dilation"])


def _pooling(f: Fields, x: Sequence[Tensor]) -> Settings:
    p = f.sub("pooling_param")
    everything = p.bool("global_pooling")
    kernel = tuple(x[0].shape[2:]) if everything else _pair(p, "kernel_size", "kernel", 1)
    return {
        "method": p.enum("pool"),
        "kernel": kernel,
        "stride": _pair(p, "stride", "stride", 1),
        "pad": _pair(p, "pad", "pad", 0),
        "ceil": p.enum("round_mode") == "CEIL" and p.bool("ceil_mode", True),
        "divisor": "clipped to the padded bottom",
    }


def _misread_pooling(s: Settings) -> Variants:
    direction = ("up (ceil)", "down (floor)") if s["ceil"] else ("down (floor)", "up (ceil)")
    yield f"the output's size is rounded {direction[1]}; Caffe rounds it {direction[0]} here", {"ceil": not s["ceil"]}
    yield from _sides(s, "pad", "stride", "kernel")
    other = "AVE" if s["method"] == "MAX" else "MAX"
    yield f"pool is taken to be {other} (the net has {s['method']})", {"method": other}
    if s["method"] == "AVE":
        for divisor in ("all of the window", "without the padding"):
            phrase = f"the average is divided by the window counted {divisor}; Caffe clips it to the padded bottom"
            yield phrase, {"divisor": divisor}


def _pool(s: Settings, x: Sequence[Tensor], _w: Sequence[Tensor]) -> Tensor:
    """Window by window, each found by its corners as Caffe does."""
    bottom, maximum = x[0], s["method"] == "MAX"
    spans = [_spans(size, *each) for size, each in zip(bottom.shape[2:], _per_side(s), strict=True)]
    if any(s["pad"]):
        # A last window that starts past the bottom is dropped.
        pairs = zip(spans, bottom.shape[2:], strict=True)
        spans = [side[:-1] if side[-1][0] >= size else side for side, size in pairs]
    top = bottom.new_zeros((*bottom.shape[:2], len(spans[0]), len(spans[1])))
    for i, (top_row, rows, row_whole) in enumerate(spans[0]):
        for j, (left, columns, column_whole) in enumerate(spans[1]):
            (a, b), (c, d) = (max(top_row, 0), rows), (max(left, 0), columns)
            window = bottom[:, :, a : min(b, bottom.shape[2]), c : min(d, bottom.shape[3])].flatten(2)
            if not window.shape[2]:
                top[:, :, i, j] = -torch.finfo(torch.float32).max if maximum else torch.nan
            elif maximum:
                top[:, :, i, j] = window.amax(2)
            else:
                whole = {"all of the window": row_whole * column_whole, "without the padding": window.shape[2]}
                clipped = (b - top_row) * (d - left)
                top[:, :, i, j] = window.sum(2) / whole.get(s["divisor"], clipped)
    return top


def _per_side(s: Settings) -> Iterator[tuple[int, int, int, bool]]:
    for kernel, stride, pad in zip(s["kernel"], s["stride"], s["pad"], strict=True):
        yield kernel, stride, pad, s["ceil"]


def _spans(size: int, kernel: int, stride: int, pad: int, ceil: bool) -> list[tuple[int, int, int]]:
    """First row, end within the padded bottom, and full length of every window along one side."""
    room = size + 2 * pad - kernel
    number = (-(-room // stride) if ceil else room // stride) + 1
    starts = [i * stride - pad for i in range(max(number, 1))]
    return [(start, min(start + kernel, size + pad), kernel) for start in starts]


def _lrn(f: Fields, _x: Sequence[Tensor]) -> Settings:
    p = f.sub("lrn_param")
    within = p.enum("norm_region") == "WITHIN_CHANNEL"
    given = {"size": p.int("local_size"), "alpha": p.float("alpha"), "beta": p.float("beta"), "field_k": p.float("k")}
    return given | {"k": 1.0 if within else given["field_k"], "within": within, "over": 2 if within else 1}


def _misread_lrn(s: Settings) -> Variants:
    yield f"k is dropped (taken as 1; the net has {s['field_k']:g})", {"k": 1.0}
    if s["within"]:
        yield f"k is applied ({s['field_k']:g}), which Caffe ignores within a channel", {"k": s["field_k"]}
    for power in {0, 1, 2} - {s["over"]}:
        how = ("not divided at all", "divided by local_size", "divided by local_size squared")
        yield f"alpha is {how[power]}; Caffe has it {how[s['over']]} here", {"over": power}
    yield f"alpha is dropped (taken as 1e-4; the net has {s['alpha']:g})", {"alpha": 1e-4}
    yield f"alpha is dropped (taken as 1; the net has {s['alpha']:g})", {"alpha": 1.0}
    yield f"beta is dropped (taken as 0.75; the net has {s['beta']:g})", {"beta": 0.75}
    yield f"beta is taken as 1 (the net has {s['beta']:g})", {"beta": 1.0}
    yield f"local_size is dropped (taken as 5; the net has {s['size']})", {"size": 5}
    region = "across channels" if s["within"] else "within each channel"
    yield f"norm_region is misread: the sum runs {region}", {"within": not s["within"], "over": 1 if s["within"] else 2}


def _normalise(s: Settings, x: Sequence[Tensor], _w: Sequence[Tensor]) -> Tensor:
    size, half, squares = s["size"], s["size"] // 2, x[0].square()
    if s["within"]:
        total = F.avg_pool2d(squares, size, 1, half, divisor_override=1)
    else:
        total = F.avg_pool3d(squares[:, None], (size, 1, 1), 1, (half, 0, 0), divisor_override=1)[:, 0]
    normal: Tensor = x[0] * (s["k"] + s["alpha"] / size ** s["over"] * total) ** -s["beta"]
    return normal


def _inner_product(f: Fields, x: Sequence[Tensor]) -> Settings:
    p = f.sub("inner_product_param")
    axis = p.int("axis")
    axis += x[0].dim() if axis < 0 else 0
    return {"axis": axis, "transpose": p.bool("transpose"), "bias": p.bool("bias_term"), "order": "NCHW"}


def _misread_inner_product(s: Settings) -> Variants:
    said = "transpose is ignored" if s["transpose"] else "transpose is assumed"
    yield f"weights are transposed: {said}", {"transpose": not s["transpose"]}
    if s["bias"]:
        yield "the bias is dropped", {"bias": False}
    yield "the bottom is flattened in the order height, width, channel", {"order": "NHWC"}


def _product(s: Settings, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    bottom = x[0].movedim(1, -1) if s["order"] == "NHWC" else x[0]
    rows = bottom.reshape(*x[0].shape[: s["axis"]], -1)
    fan_in = rows.shape[-1]
    flat = w[0].reshape(fan_in, -1).T if s["transpose"] else w[0].reshape(-1, fan_in)
    product: Tensor = rows @ flat.T + (w[1].flatten() if s["bias"] else 0)
    return product


DENSE: Mapping[str, Reading] = {
    "Convolution": Reading(_convolution, _convolve, _misread_convolution),
    "Deconvolution": Reading(_convolution, _deconvolve, _misread_convolution),
    "Pooling": Reading(_pooling, _pool, _misread_pooling),
    "LRN": Reading(_lrn, _normalise, _misread_lrn),
    "InnerProduct": Reading(_inner_product, _product, _misread_inner_product),
}

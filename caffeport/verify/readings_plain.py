"""As `readings`, for the layers that work value by value, channel by channel, or join their bottoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from caffeport.caffe.fields import Fields
from caffeport.verify.readings import Reading, Settings, Variants


def _batch_norm(f: Fields, _x: Sequence[Tensor]) -> Settings:
    p = f.sub("batch_norm_param")
    return {"eps": p.float("eps"), "factor": "divides", "inside": True, "batch": False}


def _misread_batch_norm(s: Settings) -> Variants:
    yield "the BatchNorm factor (third blob) is ignored", {"factor": "ignored"}
    yield "the BatchNorm factor (third blob) multiplies; Caffe divides by it", {"factor": "multiplies"}
    yield f"eps is dropped (taken as 1e-5; the net has {s['eps']:g})", {"eps": 1e-5}
    yield "eps is added to the standard deviation; Caffe adds it to the variance", {"inside": False}
    yield "the batch's own statistics are used in place of the stored ones", {"batch": True}


def _batch_normalise(s: Settings, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    factor = float(w[2].flatten()[0])
    scale = {"ignored": 1.0, "multiplies": factor}.get(s["factor"], 0.0 if factor == 0 else 1 / factor)
    shape = (-1, *(1,) * (x[0].dim() - 2)) if x[0].dim() > 1 else (-1,)
    mean, variance = w[0].flatten() * scale, w[1].flatten() * scale
    if s["batch"]:
        rest = [axis for axis in range(x[0].dim()) if axis != 1]
        mean, variance = x[0].mean(rest), x[0].var(rest, correction=0)
    deviation = (variance + s["eps"]).sqrt() if s["inside"] else variance.sqrt() + s["eps"]
    normal: Tensor = (x[0] - mean.view(shape)) / deviation.view(shape)
    return normal


def _scale(f: Fields, x: Sequence[Tensor]) -> Settings:
    p = f.sub("scale_param")
    axis = p.int("axis")
    axis += x[0].dim() if axis < 0 else 0
    return {"axis": axis, "bias": p.bool("bias_term"), "scale": True}


def _misread_scale(s: Settings) -> Variants:
    if s["bias"]:
        yield "the bias is dropped", {"bias": False}
    yield "the scale is missing", {"scale": False}
    yield f"axis is dropped (taken as 1; the net has {s['axis']})", {"axis": 1}


def _aligned(blob: Tensor, axis: int, dims: int) -> Tensor:
    return blob.reshape(*blob.shape, *(1,) * (dims - axis - blob.dim())) if blob.dim() else blob


def _rescale(s: Settings, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    blobs, dims = [*x[1:], *w], x[0].dim()
    scaled = x[0] * _aligned(blobs[0], s["axis"], dims) if s["scale"] else x[0]
    return scaled + _aligned(blobs[1], s["axis"], dims) if s["bias"] else scaled


def _eltwise(f: Fields, x: Sequence[Tensor]) -> Settings:
    p = f.sub("eltwise_param")
    return {"operation": p.enum("operation"), "coeff": p.floats("coeff") or (1.0,) * len(x)}


def _misread_eltwise(s: Settings) -> Variants:
    given = ", ".join(f"{c:g}" for c in s["coeff"])
    yield f"coeff is dropped (the net has {given})", {"coeff": (1.0,) * len(s["coeff"])}
    yield f"coeff is taken in reverse order (the net has {given})", {"coeff": s["coeff"][::-1]}
    for other in ("SUM", "PROD", "MAX"):
        yield f"operation is taken to be {other} (the net has {s['operation']})", {"operation": other}


def _combine(s: Settings, x: Sequence[Tensor], _w: Sequence[Tensor]) -> Tensor:
    stacked = torch.stack(tuple(x))
    if s["operation"] == "SUM":
        terms = [c * bottom for c, bottom in zip(s["coeff"], x, strict=True)]
        return torch.stack(terms).sum(0)
    return stacked.prod(0) if s["operation"] == "PROD" else stacked.amax(0)


def _relu(f: Fields, _x: Sequence[Tensor]) -> Settings:
    return {"slope": f.sub("relu_param").float("negative_slope")}


def _misread_relu(s: Settings) -> Variants:
    yield f"negative_slope is dropped (the net has {s['slope']:g})", {"slope": 0.0}
    yield f"negative_slope is taken as 0.01 (the net has {s['slope']:g})", {"slope": 0.01}
    yield "the layer does nothing", {"slope": 1.0}


def _prelu(f: Fields, _x: Sequence[Tensor]) -> Settings:
    return {"slopes": "each"}


def _misread_prelu(s: Settings) -> Variants:
    yield "the first slope is used for all channels", {"slopes": "first"}
    yield "the slopes are dropped", {"slopes": "none"}


def _rectify(s: Settings, x: Sequence[Tensor], w: Sequence[Tensor]) -> Tensor:
    if "slope" in s:
        return F.leaky_relu(x[0], s["slope"])
    slopes = {"first": w[0].flatten()[:1], "none": w[0].new_zeros(1)}.get(s["slopes"], w[0].flatten())
    return F.prelu(x[0], slopes)


def _power(f: Fields, _x: Sequence[Tensor]) -> Settings:
    p = f.sub("power_param")
    return {name: p.float(name) for name in ("power", "scale", "shift")}


def _misread_power(s: Settings) -> Variants:
    for name, neutral in (("power", 1.0), ("scale", 1.0), ("shift", 0.0)):
        yield f"{name} is dropped (the net has {s[name]:g})", {name: neutral}


def _raise(s: Settings, x: Sequence[Tensor], _w: Sequence[Tensor]) -> Tensor:
    raised: Tensor = (s["shift"] + s["scale"] * x[0]) ** s["power"]
    return raised


def _elu(f: Fields, _x: Sequence[Tensor]) -> Settings:
    return {"alpha": f.sub("elu_param").float("alpha")}


def _misread_elu(s: Settings) -> Variants:
    yield f"alpha is dropped (taken as 1; the net has {s['alpha']:g})", {"alpha": 1.0}


def _axis(param: str) -> Reading:
    """Softmax and Concat: one axis, easily left out."""

    def read(f: Fields, x: Sequence[Tensor]) -> Settings:
        p = f.sub(param)
        axis = p.int("concat_dim") if param == "concat_param" and p.has("concat_dim") else p.int("axis")
        return {"axis": axis % max(x[0].dim(), 1), "reverse": False}

    def misread(s: Settings) -> Variants:
        for axis in (1, 0, -1):
            yield f"axis is taken to be {axis} (the net has {s['axis']})", {"axis": axis}
        yield "the bottoms are taken in reverse order", {"reverse": True}

    def compute(s: Settings, x: Sequence[Tensor], _w: Sequence[Tensor]) -> Tensor:
        if param == "softmax_param":
            return x[0].softmax(s["axis"])
        return torch.cat(tuple(x[::-1] if s["reverse"] else x), s["axis"])

    return Reading(read, compute, misread)


def _dropout(f: Fields, _x: Sequence[Tensor]) -> Settings:
    p = f.sub("dropout_param")
    ratio, at_test = p.float("dropout_ratio"), not p.bool("scale_train", True)
    return {"ratio": ratio, "factor": 1 - ratio if at_test else 1.0}


def _misread_dropout(s: Settings) -> Variants:
    yield "values are scaled by the kept share at test time; Caffe scales when it trains", {"factor": 1 - s["ratio"]}
    yield "the factor of scale_train: false is missing", {"factor": 1.0}


PLAIN: Mapping[str, Reading] = {
    "BatchNorm": Reading(_batch_norm, _batch_normalise, _misread_batch_norm),
    "Scale": Reading(_scale, _rescale, _misread_scale),
    "Eltwise": Reading(_eltwise, _combine, _misread_eltwise),
    "ReLU": Reading(_relu, _rectify, _misread_relu),
    "PReLU": Reading(_prelu, _rectify, _misread_prelu),
    "Power": Reading(_power, _raise, _misread_power),
    "ELU": Reading(_elu, lambda s, x, _w: F.elu(x[0], s["alpha"]), _misread_elu),
    "Softmax": _axis("softmax_param"),
    "Concat": _axis("concat_param"),
    "Dropout": Reading(_dropout, lambda s, x, _w: x[0] * s["factor"], _misread_dropout),
}

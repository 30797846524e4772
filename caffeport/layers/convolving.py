"""What Convolution and Deconvolution share: their fields, their module's call, their ONNX node over any axes."""

from __future__ import annotations

from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import axis_of
from caffeport.layers.windows import Window, check, keywords, read_window

_OWN = {"Conv": "ConvolutionNd", "ConvTranspose": "DeconvolutionNd"}


def read_convolution(f: Fields, at: Site) -> tuple[int, Window, int, int, bool]:
    """num_output, window, group, axis and bias_term of ConvolutionParameter."""
    p = f.sub("convolution_param")
    # The fillers matter for training from scratch; the others (the last is Intel's) choose between equal algorithms.
    p.ignore("weight_filler", "bias_filler", "engine", "force_nd_im2col", "conv_algorithm")
    if at.tops != at.bottoms:
        raise p.refuse("top", f"there are {at.tops} tops for {at.bottoms} bottoms", "one top per bottom")
    num_output, group = p.int("num_output"), p.int("group")
    for name, value in (("num_output", num_output), ("group", group)):
        if value < 1:
            raise p.refuse(name, f"is {value}", "1 or more is possible")
    return num_output, read_window(p), group, p.int("axis"), p.bool("bias_term")


def over(axis: int, window: Window, bottoms: Shapes) -> tuple[int, Window]:
    """The channel axis counted from the front, and the window spelled out for the axes behind it."""
    axis = axis_of(axis, len(bottoms[0]))
    return axis, check(window.over(len(bottoms[0]) - axis - 1))


def check_group(group: int, channels: int, num_output: int) -> None:
    """Refuse a group that does not divide the channels on both sides."""
    if channels % group or num_output % group:
        raise Misfit(f"group is {group} for {channels} channels in, {num_output} out", "it divides both")


def module(op: str, axis: int, window: Window, num_output: int, group: int, bias: bool, bottoms: Shapes) -> Call:
    """torch's class where it knows the axes, else ours; `op` is ONNX's name: ``Conv`` or ``ConvTranspose``."""
    spatial = len(window.kernel)
    plain = axis == 1 and 1 <= spatial <= 3
    options = {"groups": (group, 1), "bias": (bias, True)}
    kwargs = {name: value for name, (value, default) in options.items() if value != default}
    axes = {} if plain else {"axes": spatial}
    return Call(
        f"nn.{op}{spatial}d" if plain else _OWN[op],
        (bottoms[0][axis], num_output),
        axes | keywords(window) | kwargs,
        ("weight", "bias") if bias else ("weight",),
        each=len(bottoms) > 1,
    )


def nodes(g: Onnx, op: str, axis: int, window: Window, group: int) -> None:
    """One node per bottom; axes in front of the channels join the batch, and no spatial axis becomes one of side 1."""
    options: dict[str, Any] = {
        "strides": window.stride,
        "pads": window.pad * 2,
        "dilations": window.dilation,
        "group": group,
    }
    if axis == 1 and window.kernel:
        for bottom, top in zip(g.bottoms, g.tops, strict=True):
            g.op(op, [bottom, *g.params], [top], kernel_shape=window.kernel, **options)
        return
    weight = g.params[0]
    if not window.kernel:
        weight = g.op("Unsqueeze", [weight, g.ints([2])])
        options = {"group": group}
    inside = g.ints((-1, *g.shapes[0][axis:], *(() if window.kernel else (1,))))
    # No axis in front: the channels are the first, and nothing stands for the batch.
    lead = (-1, *g.top_shapes[0][1:]) if axis else g.top_shapes[0]
    for bottom, top in zip(g.bottoms, g.tops, strict=True):
        rows = g.op("Reshape", [bottom, inside])
        g.op("Reshape", [g.op(op, [rows, weight, *g.params[1:]], **options), g.ints(lead)], [top])

"""What Convolution and Deconvolution share; `op` is ONNX's name for one of them, ``Conv`` or ``ConvTranspose``."""

from __future__ import annotations

from typing import Any, Protocol

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import options, positive
from caffeport.layers.shapes import axis_of, same_shapes
from caffeport.layers.windows import Window, check, keywords, read_window, slide, spread

_OWN = {"Conv": "ConvolutionNd", "ConvTranspose": "DeconvolutionNd"}


class Convolving(Protocol):
    """A layer with the settings of ConvolutionParameter, see `read_convolution`."""

    @property
    def num_output(self) -> int: ...
    @property
    def window(self) -> Window: ...
    @property
    def group(self) -> int: ...
    @property
    def axis(self) -> int: ...
    @property
    def bias(self) -> bool: ...


def read_convolution(f: Fields, at: Site) -> tuple[int, Window, int, int, bool]:
    """num_output, window, group, axis and bias_term of ConvolutionParameter."""
    p = f.sub("convolution_param")
    # The fillers matter for training from scratch; the others (the last is Intel's) choose between equal algorithms.
    p.ignore("weight_filler", "bias_filler", "engine", "force_nd_im2col", "conv_algorithm")
    if at.tops != at.bottoms:
        raise p.refuse("top", f"there are {at.tops} tops for {at.bottoms} bottoms", "one top per bottom")
    num_output, group = positive(p, "num_output"), positive(p, "group")
    return num_output, read_window(p), group, p.int("axis"), p.bool("bias_term")


def over(axis: int, window: Window, bottoms: Shapes) -> tuple[int, Window]:
    """The channel axis counted from the front, and the window spelled out for the axes behind it."""
    axis = axis_of(axis, len(bottoms[0]))
    return axis, check(window.over(len(bottoms[0]) - axis - 1))


def convolved(layer: Convolving, op: str, bottoms: Shapes) -> Inferred:
    """Tops and parameters; refuses a group that does not divide the channels on both sides."""
    same_shapes(bottoms)
    axis, window = over(layer.axis, layer.window, bottoms)
    channels, group = bottoms[0][axis], layer.group
    if channels % group or layer.num_output % group:
        raise Misfit(f"group is {group} for {channels} channels in, {layer.num_output} out", "it divides both")
    if op == "Conv":
        sides, ways = slide(bottoms[0][axis + 1 :], window), (layer.num_output, channels // group)
    else:
        sides, ways = spread(bottoms[0][axis + 1 :], window), (channels, layer.num_output // group)
    top = (*bottoms[0][:axis], layer.num_output, *sides)
    params: Shapes = ((*ways, *window.kernel), (layer.num_output,))
    return Inferred((top,) * len(bottoms), params[: 1 + layer.bias])


def module(layer: Convolving, op: str, bottoms: Shapes) -> Call:
    """torch's class where it knows the axes, else ours."""
    axis, window = over(layer.axis, layer.window, bottoms)
    spatial = len(window.kernel)
    plain = axis == 1 and 1 <= spatial <= 3
    axes = {} if plain else {"axes": spatial}
    return Call(
        f"nn.{op}{spatial}d" if plain else _OWN[op],
        (bottoms[0][axis], layer.num_output),
        axes | keywords(window) | options(groups=(layer.group, 1), bias=(layer.bias, True)),
        ("weight", "bias")[: 1 + layer.bias],
        each=len(bottoms) > 1,
    )


def nodes(layer: Convolving, op: str, g: Onnx) -> None:
    """One node per bottom; axes in front of the channels join the batch, and no spatial axis becomes one of side 1."""
    axis, window = over(layer.axis, layer.window, g.shapes)
    settings: dict[str, Any] = {
        "strides": window.stride,
        "pads": window.pad * 2,
        "dilations": window.dilation,
        "group": layer.group,
    }
    if axis == 1 and window.kernel:
        for bottom, top in zip(g.bottoms, g.tops, strict=True):
            g.op(op, [bottom, *g.params], [top], kernel_shape=window.kernel, **settings)
        return
    weight = g.params[0]
    if not window.kernel:
        weight = g.op("Unsqueeze", [weight, g.ints([2])])
        settings = {"group": layer.group}
    inside = g.ints((-1, *g.shapes[0][axis:], *(() if window.kernel else (1,))))
    # No axis in front: the channels are the first, and nothing stands for the batch.
    lead = (-1, *g.top_shapes[0][1:]) if axis else g.top_shapes[0]
    for bottom, top in zip(g.bottoms, g.tops, strict=True):
        rows = g.op("Reshape", [bottom, inside])
        g.op("Reshape", [g.op(op, [rows, weight, *g.params[1:]], **settings), g.ints(lead)], [top])

"""Convolution, over any number of spatial axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import axis_of, same_shapes
from caffeport.layers.windows import Window, brief, check, read_window, slide


@dataclass(frozen=True, slots=True)
class Convolution(Layer):
    """Convolution over the axes behind `axis`, the same weights for every bottom."""

    type = "Convolution"
    bottoms = (1, MANY)
    tops = (1, MANY)
    mirrors = "base_conv_layer.cpp, conv_layer.cpp"

    num_output: int
    window: Window
    group: int
    axis: int
    bias: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Convolution:
        p = f.sub("convolution_param")
        # The fillers matter for training from scratch, engine and force_nd_im2col choose between equal algorithms.
        p.ignore("weight_filler", "bias_filler", "engine", "force_nd_im2col")
        if at.tops != at.bottoms:
            raise p.refuse("top", f"there are {at.tops} tops for {at.bottoms} bottoms", "one top per bottom")
        return cls(p.int("num_output"), read_window(p), p.int("group"), p.int("axis"), p.bool("bias_term"))

    def infer(self, bottoms: Shapes) -> Inferred:
        same_shapes(bottoms)
        axis, window = self._over(bottoms)
        channels = bottoms[0][axis]
        if channels % self.group or self.num_output % self.group:
            raise Misfit(f"group is {self.group} for {channels} channels in, {self.num_output} out", "it divides both")
        top = (*bottoms[0][:axis], self.num_output, *slide(bottoms[0][axis + 1 :], window))
        weight = (self.num_output, channels // self.group, *window.kernel)
        return Inferred((top,) * len(bottoms), (weight, (self.num_output,)) if self.bias else (weight,))

    def torch(self, bottoms: Shapes) -> Call:
        axis, window = self._over(bottoms)
        options = {
            "kernel_size": window.kernel,
            "stride": window.stride,
            "padding": window.pad,
            "dilation": window.dilation,
        }
        kwargs = {name: brief(sides) for name, sides in options.items()}
        kwargs = {name: value for name, value in kwargs.items() if value != (0 if name == "padding" else 1)}
        kwargs.setdefault("kernel_size", 1)
        if self.group > 1:
            kwargs["groups"] = self.group
        if not self.bias:
            kwargs["bias"] = False
        spatial = len(window.kernel)
        plain = axis == 1 and 1 <= spatial <= 3
        if not plain:
            kwargs |= {"axes": spatial, "kernel_size": window.kernel}
        name = f"nn.Conv{spatial}d" if plain else "ConvolutionNd"
        state = ("weight", "bias") if self.bias else ("weight",)
        return Call(name, (bottoms[0][axis], self.num_output), kwargs, state, each=len(bottoms) > 1)

    def onnx(self, g: Onnx) -> None:
        axis, window = self._over(g.shapes)
        if axis != 1 or not window.kernel:
            raise g.refuse("ONNX convolves behind axis 1 only")
        for bottom, top in zip(g.bottoms, g.tops, strict=True):
            g.op(
                "Conv",
                [bottom, *g.params],
                [top],
                kernel_shape=window.kernel,
                strides=window.stride,
                pads=window.pad * 2,
                dilations=window.dilation,
                group=self.group,
            )

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        axis = axis_of(self.axis, len(bottoms[0]))
        top = inferred.tops[0]
        return len(bottoms) * prod(inferred.params[0]) * prod(top[:axis]) * prod(top[axis + 1 :])

    def _over(self, bottoms: Shapes) -> tuple[int, Window]:
        axis = axis_of(self.axis, len(bottoms[0]))
        return axis, check(self.window.over(len(bottoms[0]) - axis - 1))

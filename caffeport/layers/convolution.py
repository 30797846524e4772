"""Convolution, over any number of spatial axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.convolving import check_group, module, nodes, over, read_convolution
from caffeport.layers.shapes import axis_of, same_shapes
from caffeport.layers.windows import Window, slide


@dataclass(frozen=True, slots=True)
class Convolution(Layer):
    """Convolution over the axes behind `axis`, the same weights for every bottom.

    DepthwiseConvolution is the same with a kernel for one channel each, computed faster (yonghenglh6/
    DepthwiseConvolution: depthwise_conv_layer.cpp); its nets write num_output and group in full.
    """

    type = "Convolution"
    aliases = ("DepthwiseConvolution",)
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
        return cls(*read_convolution(f, at))

    def infer(self, bottoms: Shapes) -> Inferred:
        same_shapes(bottoms)
        axis, window = over(self.axis, self.window, bottoms)
        channels = bottoms[0][axis]
        check_group(self.group, channels, self.num_output)
        top = (*bottoms[0][:axis], self.num_output, *slide(bottoms[0][axis + 1 :], window))
        weight = (self.num_output, channels // self.group, *window.kernel)
        return Inferred((top,) * len(bottoms), (weight, (self.num_output,)) if self.bias else (weight,))

    def torch(self, bottoms: Shapes) -> Call:
        axis, window = over(self.axis, self.window, bottoms)
        return module("Conv", axis, window, self.num_output, self.group, self.bias, bottoms)

    def onnx(self, g: Onnx) -> None:
        nodes(g, "Conv", *over(self.axis, self.window, g.shapes), self.group)

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        axis = axis_of(self.axis, len(bottoms[0]))
        top = inferred.tops[0]
        return len(bottoms) * prod(inferred.params[0]) * prod(top[:axis]) * prod(top[axis + 1 :])

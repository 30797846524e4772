"""Convolution, over any number of spatial axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.convolving import convolved, module, nodes, read_convolution
from caffeport.layers.shapes import axis_of
from caffeport.layers.windows import Window


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
        return convolved(self, "Conv", bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        return module(self, "Conv", bottoms)

    def onnx(self, g: Onnx) -> None:
        nodes(self, "Conv", g)

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        axis = axis_of(self.axis, len(bottoms[0]))
        top = inferred.tops[0]
        return len(bottoms) * prod(inferred.params[0]) * prod(top[:axis]) * prod(top[axis + 1 :])

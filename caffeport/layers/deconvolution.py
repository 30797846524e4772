"""Deconvolution: a convolution turned round, over any number of spatial axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.convolving import convolved, module, nodes, read_convolution
from caffeport.layers.shapes import axis_of
from caffeport.layers.windows import Window


@dataclass(frozen=True, slots=True)
class Deconvolution(Layer):
    """Transposed convolution over the axes behind `axis`; weights are channels in x (num_output / group) x kernel."""

    type = "Deconvolution"
    bottoms = (1, MANY)
    tops = (1, MANY)
    mirrors = "base_conv_layer.cpp, deconv_layer.cpp"

    num_output: int
    window: Window
    group: int
    axis: int
    bias: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Deconvolution:
        return cls(*read_convolution(f, at))

    def infer(self, bottoms: Shapes) -> Inferred:
        return convolved(self, "ConvTranspose", bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        return module(self, "ConvTranspose", bottoms)

    def onnx(self, g: Onnx) -> None:
        nodes(self, "ConvTranspose", g)

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        axis = axis_of(self.axis, len(bottoms[0]))
        return len(bottoms) * prod(inferred.params[0]) * prod(bottoms[0][:axis]) * prod(bottoms[0][axis + 1 :])

"""ConvolutionDepthwise: a convolution of each channel alone."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.convolution import Convolution
from caffeport.layers.windows import Window, read_window


@dataclass(frozen=True, slots=True)
class ConvolutionDepthwise(Layer):
    """Convolution with one kernel per channel: num_output and group are the bottom's channels, whatever is written.

    farmingyard/ShuffleNet: conv_dw_layer.cpp, which reads neither num_output nor group.
    """

    type = "ConvolutionDepthwise"
    fork = "ShuffleNet"
    mirrors = "conv_dw_layer.cpp"

    window: Window
    bias: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> ConvolutionDepthwise:
        p = f.sub("convolution_param")
        # The first two are not read by the fork either; fillers are for training from scratch, cuDNN is not called.
        p.ignore("num_output", "group", "weight_filler", "bias_filler", "engine")
        return cls(read_window(p), p.bool("bias_term"))

    def infer(self, bottoms: Shapes) -> Inferred:
        return self._whole(bottoms).infer(bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        return self._whole(bottoms).torch(bottoms)

    def onnx(self, g: Onnx) -> None:
        self._whole(g.shapes).onnx(g)

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        return self._whole(bottoms).macs(bottoms, inferred)

    def _whole(self, bottoms: Shapes) -> Convolution:
        channels = bottoms[0][1] if len(bottoms[0]) > 1 else 1
        return Convolution(channels, self.window, channels, 1, self.bias)

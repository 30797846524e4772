"""ShuffleChannel: channels of several groups in turn."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class ShuffleChannel(Layer):
    """The first channel of each group, then the second of each, and so on.

    farmingyard/ShuffleNet: shuffle_channel_layer.cpp.
    """

    type = "ShuffleChannel"
    fork = "ShuffleNet"
    mirrors = "shuffle_channel_layer.cpp"

    group: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> ShuffleChannel:
        return cls(positive(f.sub("shuffle_channel_param"), "group"))

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[0]) < 3 or bottoms[0][1] % self.group:
            raise Misfit(f"the bottom is {show(bottoms[0])}", f"{self.group} (group) divides the channels")
        return Inferred(bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        return Call("nn.ChannelShuffle", (self.group,))

    def onnx(self, g: Onnx) -> None:
        _, channels, *sides = g.shapes[0]
        parts = g.op("Reshape", [g.bottoms[0], g.ints((-1, self.group, channels // self.group, *sides))])
        turned = g.op("Transpose", [parts], perm=(0, 2, 1, *range(3, 3 + len(sides))))
        g.op("Reshape", [turned, g.ints((-1, channels, *sides))], g.tops)

"""DenseImageData: pictures with a label for every pixel, as SegNet trains on them."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Inferred, Layer, Shape, Shapes, Site
from caffeport.layers.sources import batch_of, complete, no_call, no_nodes, picture, read_crop, read_rest


@dataclass(frozen=True, slots=True)
class DenseImageData(Layer):
    """Pictures (N x C x H x W) and label pictures (N x 1 x H x W) from a list of files; inputs of the port.

    Follows alexgkendall/caffe-segnet, dense_image_data_layer.cpp.
    """

    type = "DenseImageData"
    bottoms = (0, 0)
    tops = (2, 2)
    fork = "SegNet"
    mirrors = "dense_image_data_layer.cpp"
    source = True

    batch: int
    channels: int
    sides: Shape

    @classmethod
    def read(cls, f: Fields, at: Site) -> DenseImageData:
        p = f.sub("dense_image_data_param")
        new = (p.int("new_height", 0), p.int("new_width", 0))
        batch, channels = p.int("batch_size", 0), 3 if p.bool("is_color", True) else 1
        read_rest(p)
        return cls(batch, channels, read_crop(f) or (new if all(new) else ()))

    def infer(self, bottoms: Shapes) -> Inferred:
        data = picture(self.batch, self.channels, self.sides)
        sides = ((bottoms[0] if bottoms else ()) or data or ())[2:]
        return complete(bottoms, (data, picture(batch_of(bottoms, data, self.batch), 1, sides)))

    torch = no_call
    onnx = no_nodes

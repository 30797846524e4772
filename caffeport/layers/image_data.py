"""ImageData: pictures and labels from a list of files."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Inferred, Layer, Shape, Shapes, Site
from caffeport.layers.sources import labelled, no_call, no_nodes, read_crop, read_rest


@dataclass(frozen=True, slots=True)
class ImageData(Layer):
    """Pictures (N x C x H x W) and labels (N) from the files that a list names; they become inputs of the port."""

    type = "ImageData"
    bottoms = (0, 0)
    tops = (2, 2)
    mirrors = "image_data_layer.cpp"
    source = True

    batch: int
    channels: int
    sides: Shape

    @classmethod
    def read(cls, f: Fields, at: Site) -> ImageData:
        p = f.sub("image_data_param")
        new = (p.int("new_height"), p.int("new_width"))
        if any(new) and not all(new):
            raise p.refuse("new_height", f"is {new[0]} and new_width {new[1]}", "Caffe wants both or none")
        batch, channels = p.int("batch_size"), 3 if p.bool("is_color") else 1
        read_rest(p)
        return cls(batch, channels, read_crop(f) or (new if all(new) else ()))

    def infer(self, bottoms: Shapes) -> Inferred:
        return labelled(bottoms, self.batch, self.channels, self.sides)

    torch = no_call
    onnx = no_nodes

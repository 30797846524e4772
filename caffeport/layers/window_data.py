"""WindowData: windows out of pictures, with labels, as R-CNN trains on them."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Inferred, Layer, Shape, Shapes, Site
from caffeport.layers.sources import labelled, no_call, no_nodes, read_crop, read_rest


@dataclass(frozen=True, slots=True)
class WindowData(Layer):
    """Windows warped to crop_size (N x 3 x H x W) and labels (N) from a window file; they become inputs of the port."""

    type = "WindowData"
    bottoms = (0, 0)
    tops = (2, 2)
    mirrors = "window_data_layer.cpp"
    source = True

    batch: int
    sides: Shape

    @classmethod
    def read(cls, f: Fields, at: Site) -> WindowData:
        p = f.sub("window_data_param")
        batch = p.int("batch_size", 0)
        read_rest(p)
        return cls(batch, read_crop(f))

    def infer(self, bottoms: Shapes) -> Inferred:
        return labelled(bottoms, self.batch, 3, self.sides)

    torch = no_call
    onnx = no_nodes

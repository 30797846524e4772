"""MemoryData: arrays that a program hands over."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Inferred, Layer, Shape, Shapes, Site
from caffeport.layers.sources import batch_of, complete, no_call, no_nodes


@dataclass(frozen=True, slots=True)
class MemoryData(Layer):
    """Arrays (N x C x H x W) and labels (N) that the calling program gives; they become inputs of the port."""

    type = "MemoryData"
    bottoms = (0, 0)
    tops = (2, 2)
    mirrors = "memory_data_layer.cpp"
    source = True

    shape: Shape

    @classmethod
    def read(cls, f: Fields, at: Site) -> MemoryData:
        p = f.sub("memory_data_param")
        # Transforms the pictures that a program adds, before they are these arrays.
        f.ignore("transform_param")
        return cls(tuple(p.int(name, 0) for name in ("batch_size", "channels", "height", "width")))

    def infer(self, bottoms: Shapes) -> Inferred:
        data = self.shape if all(self.shape) else None
        return complete(bottoms, (data, (batch_of(bottoms, data, self.shape[0]),)))

    torch = no_call
    onnx = no_nodes

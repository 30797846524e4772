"""Data: pictures and labels from a LevelDB or LMDB."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Inferred, Layer, Shape, Shapes, Site
from caffeport.layers.sources import labelled, no_call, no_nodes, read_crop, read_rest


@dataclass(frozen=True, slots=True)
class Data(Layer):
    """Pictures (N x C x H x W) and labels (N) from a database; they become inputs of the port.

    H and W are known where transform_param crops; C is then 3 unless force_gray says otherwise, because databases of
    cropped pictures hold colours all but always. Another shape can be given with the net.
    """

    type = "Data"
    bottoms = (0, 0)
    tops = (1, 2)
    mirrors = "data_layer.cpp"
    source = True

    batch: int
    channels: int
    sides: Shape
    label: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> Data:
        p = f.sub("data_param")
        batch = p.int("batch_size", 0)
        read_rest(p)
        gray = f.sub("transform_param").bool("force_gray", False)
        return cls(batch, 1 if gray else 3, read_crop(f), at.tops == 2)

    def infer(self, bottoms: Shapes) -> Inferred:
        return labelled(bottoms, self.batch, self.channels, self.sides, 1 + self.label)

    torch = no_call
    onnx = no_nodes

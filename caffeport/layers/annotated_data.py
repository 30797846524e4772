"""AnnotatedData: pictures with boxes, as SSD and YOLO train on them."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Inferred, Layer, Shape, Shapes, Site
from caffeport.layers.sources import complete, no_call, no_nodes, picture, read_crop, read_rest


@dataclass(frozen=True, slots=True)
class AnnotatedData(Layer):
    """Pictures (N x 3 x H x W) and all their boxes (1 x 1 x boxes x 8, any number of them); inputs of the port.

    Follows weiliu89/caffe, branch ssd, annotated_data_layer.cpp.
    """

    type = "AnnotatedData"
    bottoms = (0, 0)
    tops = (1, 2)
    fork = "SSD"
    mirrors = "annotated_data_layer.cpp"
    source = True

    batch: int
    sides: Shape
    label: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> AnnotatedData:
        p = f.sub("data_param")
        batch = p.int("batch_size", 0)
        read_rest(p)
        # How boxes are read and pictures cut before they are these tops.
        f.ignore("annotated_data_param")
        return cls(batch, read_crop(f), at.tops == 2)

    def infer(self, bottoms: Shapes) -> Inferred:
        return complete(bottoms, (picture(self.batch, 3, self.sides), (1, 1, 1, 8))[: 1 + self.label])

    torch = no_call
    onnx = no_nodes

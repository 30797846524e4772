"""HDF5Data: data sets of HDF5 files, one per top."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Inferred, Layer, Shapes, Site
from caffeport.layers.sources import complete, no_call, no_nodes, read_rest


@dataclass(frozen=True, slots=True)
class HDF5Data(Layer):
    """Rows of the data sets named as the tops; they become inputs of the port, of shapes that only the files know."""

    type = "HDF5Data"
    bottoms = (0, 0)
    tops = (1, MANY)
    mirrors = "hdf5_data_layer.cpp"
    source = True

    copies: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> HDF5Data:
        if f.has("transform_param"):
            raise f.refuse("transform_param", "is set", "Caffe does not transform what comes out of HDF5")
        read_rest(f.sub("hdf5_data_param"))
        return cls(at.tops)

    def infer(self, bottoms: Shapes) -> Inferred:
        return complete(bottoms, (None,) * self.copies)

    torch = no_call
    onnx = no_nodes

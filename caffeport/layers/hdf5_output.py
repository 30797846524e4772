"""HDF5Output: a file for two blobs."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class HDF5Output(Layer):
    """Writes two blobs into an HDF5 file; a port hands them out as outputs instead, and writes nothing."""

    type = "HDF5Output"
    bottoms = (2, 2)
    tops = (0, 0)
    mirrors = "hdf5_output_layer.cpp"
    sink = True

    file: str

    @classmethod
    def read(cls, f: Fields, at: Site) -> HDF5Output:
        return cls(f.sub("hdf5_output_param").str("file_name"))

    def infer(self, bottoms: Shapes) -> Inferred:
        if bottoms[0][:1] != bottoms[1][:1]:
            raise Misfit(f"the bottoms are {show(bottoms[0])} and {show(bottoms[1])}", "their batch must be the same")
        return Inferred(())

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Discard")

    def onnx(self, g: Onnx) -> None:
        """Adds no node: nothing comes out of this layer."""

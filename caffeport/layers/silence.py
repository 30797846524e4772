"""Silence."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import MANY, Call, Inferred, Layer, Onnx, Shapes, Site


@dataclass(frozen=True, slots=True)
class Silence(Layer):
    """Takes blobs that nothing else uses, so that they are no outputs."""

    type = "Silence"
    bottoms = (1, MANY)
    tops = (0, 0)
    mirrors = "silence_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> Silence:
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        return Inferred(())

    def torch(self, bottoms: Shapes) -> Call:
        return Call("Discard")

    def onnx(self, g: Onnx) -> None:
        """Nothing to add: an ONNX graph names its outputs."""

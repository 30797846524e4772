"""LSTMUnit: one step of an LSTM, without its weights."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.recurrent import unit
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class LSTMUnit(Layer):
    """c' = cont f c + i g and h' = o tanh(c'), the gates i, f, o (sigmoid) and g (tanh) side by side in bottom 1."""

    type = "LSTMUnit"
    bottoms = (3, 3)
    tops = (2, 2)
    mirrors = "lstm_unit_layer.cpp"

    @classmethod
    def read(cls, f: Fields, at: Site) -> LSTMUnit:
        return cls()

    def infer(self, bottoms: Shapes) -> Inferred:
        cell = bottoms[0]
        if len(cell) != 3 or cell[0] != 1:
            raise Misfit(f"bottom 0 is {show(cell)}", "Caffe wants one step: 1 x streams x cells")
        wanted = ((*cell[:2], 4 * cell[2]), cell[:2])
        for number, (shape, want) in enumerate(zip(bottoms[1:], wanted, strict=True), 1):
            if shape != want:
                raise Misfit(f"bottom {number} is {show(shape)} with cells {show(cell)}", f"Caffe wants {show(want)}")
        return Inferred((cell, cell))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("LSTMUnit")

    def onnx(self, g: Onnx) -> None:
        cell, hidden = unit(g, g.bottoms[0], g.bottoms[1], g.op("Unsqueeze", [g.bottoms[2], g.ints([2])]))
        for made, top in zip((cell, hidden), g.tops, strict=True):
            g.op("Identity", [made], [top])

    def batch_axis(self, bottom: int) -> int:
        return 1

"""LSTM over sequences that begin anywhere in the batch."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.recurrent import Wiring, unit


@dataclass(frozen=True, slots=True)
class LSTM(Layer):
    """Long short-term memory over steps x streams x ...; the second bottom is 0 where a sequence begins."""

    type = "LSTM"
    bottoms = (2, 5)
    tops = (1, 3)
    mirrors = "recurrent_layer.cpp, lstm_layer.cpp"

    wiring: Wiring

    @classmethod
    def read(cls, f: Fields, at: Site) -> LSTM:
        return cls(Wiring.read(f, at, states=2))

    def infer(self, bottoms: Shapes) -> Inferred:
        self.wiring.check(bottoms)
        gates = 4 * self.wiring.num_output
        params = (*self.wiring.inputs(bottoms, gates), (gates, self.wiring.num_output))
        return Inferred(self.wiring.tops(bottoms), params)

    def torch(self, bottoms: Shapes) -> Call:
        return self.wiring.call("LSTM", bottoms, ())

    def onnx(self, g: Onnx) -> None:
        recurrent = g.op("Transpose", [g.params[-1]], perm=(1, 0))

        def step(states: list[str], terms: str, cont: str) -> tuple[list[str], str]:
            hidden, cell = states
            kept = g.op("MatMul", [g.op("Mul", [cont, hidden]), recurrent])
            cell, hidden = unit(g, cell, g.op("Add", [kept, terms]), cont)
            return [hidden, cell], g.op("Identity", [hidden])

        self.wiring.loop(g, step)

    def batch_axis(self, bottom: int) -> int:
        return self.wiring.batch_axis(bottom)

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        return self.wiring.macs(bottoms, inferred)

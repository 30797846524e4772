"""RNN over sequences that begin anywhere in the batch."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.recurrent import Wiring


@dataclass(frozen=True, slots=True)
class RNN(Layer):
    """h = tanh(W_h h + W_x x + b), output tanh(W_o h + b_o), over steps x streams; bottom 1 is 0 at a beginning."""

    type = "RNN"
    bottoms = (2, 4)
    tops = (1, 2)
    mirrors = "recurrent_layer.cpp, rnn_layer.cpp"

    wiring: Wiring

    @classmethod
    def read(cls, f: Fields, at: Site) -> RNN:
        return cls(Wiring.read(f, at, states=1))

    def infer(self, bottoms: Shapes) -> Inferred:
        self.wiring.check(bottoms)
        side = self.wiring.num_output
        params = (*self.wiring.inputs(bottoms, side), (side, side), (side, side), (side,))
        return Inferred(self.wiring.tops(bottoms), params)

    def torch(self, bottoms: Shapes) -> Call:
        return self.wiring.call("RNN", bottoms, ("weight_o", "bias_o"))

    def onnx(self, g: Onnx) -> None:
        recurrent, out = (g.op("Transpose", [weight], perm=(1, 0)) for weight in g.params[-3:-1])

        def step(states: list[str], terms: str, cont: str) -> tuple[list[str], str]:
            kept = g.op("MatMul", [g.op("Mul", [cont, states[0]]), recurrent])
            hidden = g.op("Tanh", [g.op("Add", [kept, terms])])
            return [hidden], g.op("Tanh", [g.op("Add", [g.op("MatMul", [hidden, out]), g.params[-1]])])

        self.wiring.loop(g, step)

    def batch_axis(self, bottom: int) -> int:
        return self.wiring.batch_axis(bottom)

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        return self.wiring.macs(bottoms, inferred)

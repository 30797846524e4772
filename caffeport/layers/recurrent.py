"""What LSTM and RNN share: bottoms, shapes, the call of their module, and the frame of their ONNX loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Misfit, Onnx, Shape, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.nodes import sides
from caffeport.layers.shapes import count, show


@dataclass(frozen=True, slots=True)
class Wiring:
    """RecurrentParameter as read, and which bottoms are what: x, cont, maybe a static input, maybe `states` states."""

    num_output: int
    expose: bool
    static: bool
    states: int

    @classmethod
    def read(cls, f: Fields, at: Site, states: int) -> Wiring:
        """Read the fields and count bottoms and tops."""
        p = f.sub("recurrent_param")
        # What training from scratch begins with, and whether Caffe prints while it runs.
        p.ignore("weight_filler", "bias_filler", "debug_info")
        num_output, expose = positive(p, "num_output"), p.bool("expose_hidden")
        exposed = states * expose
        if not 2 + exposed <= at.bottoms <= 3 + exposed:
            allowed = f"{2 + exposed}, or {3 + exposed} with a static input"
            raise p.refuse("expose_hidden", f"is {str(expose).lower()} with {at.bottoms} bottoms", allowed)
        if at.tops != 1 + exposed:
            raise p.refuse(
                "expose_hidden", f"is {str(expose).lower()} with {at.tops} tops", f"{1 + exposed} are wanted"
            )
        return cls(num_output, expose, at.bottoms == 3 + exposed, states)

    def check(self, bottoms: Shapes) -> None:
        """Refuse bottoms that do not go together."""
        if len(bottoms[0]) < 3:
            raise Misfit(f"bottom 0 is {show(bottoms[0])}", "Caffe wants steps x streams x inputs")
        if self.static and len(bottoms[2]) < 2:
            raise Misfit(f"the static input is {show(bottoms[2])}", "Caffe wants streams x inputs")
        state = (1, bottoms[0][1], self.num_output)
        wanted = [("bottom 1", bottoms[1], bottoms[0][:2])]
        if self.static:
            wanted.append(("the static input", bottoms[2][:1], bottoms[0][1:2]))
        if self.expose:
            wanted += [("a hidden state", shape, state) for shape in bottoms[-self.states :]]
        for what, shape, want in wanted:
            if shape != want:
                raise Misfit(f"{what} is {show(shape)} with bottom 0 {show(bottoms[0])}", f"Caffe wants {show(want)}")

    def batch_axis(self, bottom: int) -> int:
        """The streams lie behind the steps, but in a static input they are all that there is."""
        return 0 if self.static and bottom == 2 else 1

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        """Multiply-adds: every matrix once for each step of each stream."""
        return sum(prod(shape) for shape in inferred.params if len(shape) == 2) * prod(bottoms[0][:2])

    def tops(self, bottoms: Shapes) -> Shapes:
        """The output of every step, and the last states where they are exposed."""
        steps, streams = bottoms[0][:2]
        return ((steps, streams, self.num_output), *((1, streams, self.num_output),) * (self.states * self.expose))

    def inputs(self, bottoms: Shapes, rows: int) -> list[Shape]:
        """Shapes of the parameters that the inputs meet: weight, bias, and the static input's weight."""
        weights = [(rows, count(bottoms[0], 2)), (rows,)]
        return [*weights, (rows, count(bottoms[2], 1))] if self.static else weights

    def call(self, name: str, bottoms: Shapes, state: tuple[str, ...]) -> Call:
        """The module's call; the number of steps is part of it, as Caffe fixes it when it sets up the layer."""
        kwargs: dict[str, Any] = {"steps": bottoms[0][0]}
        if self.static:
            kwargs["static"] = count(bottoms[2], 1)
        if self.expose:
            kwargs["expose_hidden"] = True
        names = ("weight_x", "bias", *(("weight_static",) if self.static else ()), "weight_h", *state)
        return Call(name, (count(bottoms[0], 2), self.num_output), kwargs, names)

    def loop(self, g: Onnx, step: Callable[[list[str], str, str], tuple[list[str], str]]) -> None:
        """A Scan over the steps: `step` takes states, terms and cont (N x 1), and gives states and the output."""
        terms = linear(g, g.bottoms[0], 2, g.params[0])
        terms = g.op("Add", [terms, g.params[1]])
        if self.static:
            terms = g.op("Add", [terms, linear(g, g.bottoms[2], 1, g.params[2])])
        cont = g.op("Unsqueeze", [g.bottoms[1], g.ints([2])])
        if self.expose:
            begin = [g.op("Squeeze", [state, g.ints([0])]) for state in g.bottoms[-self.states :]]
        else:
            streams = sides(g, cont, 1, 2)
            zeros = g.op("Expand", [g.floats(0.0), g.op("Concat", [streams, g.ints([self.num_output])], axis=0)])
            begin = [zeros] * self.states

        def body(states: list[str], elements: list[str]) -> tuple[list[str], list[str]]:
            states, top = step(states, *elements)
            return states, [top]

        ends = g.scan(body, begin, [terms, cont], g.tops[:1])
        for end, top in zip(ends, g.tops[1:], strict=False):
            g.op("Unsqueeze", [end, g.ints([0])], [top])


def linear(g: Onnx, x: str, axis: int, weight: str) -> str:
    """x times the transpose of a weight, all axes of x from `axis` on taken as one."""
    flat = g.op("Reshape", [x, g.ints((*(0,) * axis, -1))])
    return g.op("MatMul", [flat, g.op("Transpose", [weight], perm=(1, 0))])


def unit(g: Onnx, cell: str, gates: str, cont: str) -> tuple[str, str]:
    """Next cell and hidden state of an LSTM from the last cell, the four gates side by side and cont."""
    i, f, o, new = g.ops("Split", [gates], 4, axis=-1)
    i, f, o = (g.op("Sigmoid", [gate]) for gate in (i, f, o))
    kept = g.op("Mul", [g.op("Mul", [cont, f]), cell])
    cell = g.op("Add", [kept, g.op("Mul", [i, g.op("Tanh", [new])])])
    return cell, g.op("Mul", [o, g.op("Tanh", [cell])])

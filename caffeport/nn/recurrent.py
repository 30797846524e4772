"""Caffe's recurrent layers: time-major sequences with continuation indicators."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LSTM", "RNN", "LSTMUnit"]


def recurrent_weight(rows: int, columns: int) -> nn.Parameter:
    weight = nn.Parameter(torch.empty(rows, columns))
    nn.init.uniform_(weight, -1 / math.sqrt(columns), 1 / math.sqrt(columns))
    return weight


def lstm_unit(cell: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """Next cell and hidden state (..., H) from the last cell, the gates i, f, o, g (..., 4 H) and cont (..., 1)."""
    i, f, o, g = gates.chunk(4, -1)
    cell = cont * f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return cell, o.sigmoid() * cell.tanh()


class LSTMUnit(nn.Module):
    """One step of an LSTM: cell (1, N, H), gates (1, N, 4 H), cont (1, N) of 0 and 1 to the next cell and output."""

    def forward(self, cell: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
        return lstm_unit(cell, gates, cont.detach().unsqueeze(-1))


class Recurrent(nn.Module):
    """What the two sequence layers share: x (T, N, ...), cont (T, N), maybe a static input (N, ...) and states.

    Where cont is 0 a sequence begins and the state is forgotten. Before the first step the state is zero, unless the
    net exposes it as inputs and outputs (1, N, H); as in Caffe no gradient runs through those. Set `carry` to have
    each call begin where the one before ended, as Caffe's layers always do. `steps` is T.
    """

    def __init__(self, inputs: int, outputs: int, steps: int, gates: int, static: int, expose_hidden: bool) -> None:
        super().__init__()
        self.outputs, self.steps, self.expose_hidden = outputs, steps, expose_hidden
        self.weight_x = recurrent_weight(gates * outputs, inputs)
        self.bias = nn.Parameter(torch.zeros(gates * outputs))
        if static:
            self.weight_static = recurrent_weight(gates * outputs, static)
        self.static = static
        self.weight_h = recurrent_weight(gates * outputs, outputs)
        self.carry = False
        self.last: tuple[Tensor, ...] = ()

    def terms(self, x: Tensor, rest: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the inputs add to the gates at each step (T, N, gates), and the remaining bottoms."""
        if x.shape[0] != self.steps:
            raise ValueError(f"{x.shape[0]} steps are given to a layer of {self.steps}; set its `steps` for others")
        terms = F.linear(x.flatten(2), self.weight_x, self.bias)
        if self.static:
            return terms + F.linear(rest[0].flatten(1), self.weight_static), rest[1:]
        return terms, rest

    def begin(self, terms: Tensor, exposed: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
        """The states (N, H) before the first step."""
        if self.expose_hidden:
            return tuple(state.detach()[0] for state in exposed)
        if self.carry and self.last:
            return self.last
        return (terms.new_zeros(terms.shape[1], self.outputs),) * count

    def finish(self, tops: list[Tensor], *states: Tensor) -> Tensor | tuple[Tensor, ...]:
        """All steps' outputs as one, and the last states if they are wanted."""
        states = tuple(state.detach() for state in states)
        if self.carry:
            self.last = states
        top = torch.stack(tops)
        return (top, *(state[None] for state in states)) if self.expose_hidden else top

    def extra_repr(self) -> str:
        return f"{self.weight_x.shape[1]}, {self.outputs}, steps={self.steps}, expose_hidden={self.expose_hidden}"


class LSTM(Recurrent):
    """Long short-term memory; gates in the order i, f, o, g. See `Recurrent` for inputs and outputs."""

    def __init__(self, inputs: int, outputs: int, steps: int, static: int = 0, expose_hidden: bool = False) -> None:
        super().__init__(inputs, outputs, steps, 4, static, expose_hidden)

    def forward(self, x: Tensor, cont: Tensor, *rest: Tensor) -> Tensor | tuple[Tensor, ...]:
        terms, exposed = self.terms(x, rest)
        hidden, cell = self.begin(terms, exposed, 2)
        going = cont.detach().unsqueeze(-1)
        tops = []
        for t in range(self.steps):
            gates = F.linear(going[t] * hidden, self.weight_h) + terms[t]
            cell, hidden = lstm_unit(cell, gates, going[t])
            tops.append(hidden)
        return self.finish(tops, hidden, cell)


class RNN(Recurrent):
    """h = tanh(W_h h + W_x x + b), output tanh(W_o h + b_o). See `Recurrent` for inputs and outputs."""

    def __init__(self, inputs: int, outputs: int, steps: int, static: int = 0, expose_hidden: bool = False) -> None:
        super().__init__(inputs, outputs, steps, 1, static, expose_hidden)
        self.weight_o = recurrent_weight(outputs, outputs)
        self.bias_o = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, cont: Tensor, *rest: Tensor) -> Tensor | tuple[Tensor, ...]:
        terms, exposed = self.terms(x, rest)
        (hidden,) = self.begin(terms, exposed, 1)
        going = cont.detach().unsqueeze(-1)
        tops = []
        for t in range(self.steps):
            hidden = (F.linear(going[t] * hidden, self.weight_h) + terms[t]).tanh()
            tops.append(F.linear(hidden, self.weight_o, self.bias_o).tanh())
        return self.finish(tops, hidden)

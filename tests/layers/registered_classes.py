"""Classes for Python layers, as a user would write them: at the top level of a module of their own."""

from __future__ import annotations

import json

import torch
from torch import Tensor, nn

from caffeport.layers import Call, Inferred, Onnx, Shapes


class Scaled(nn.Module):
    """A weight per channel and a factor out of param_str."""

    state = ("weight",)

    def __init__(self, param_str: str) -> None:
        super().__init__()
        self.factor = float(json.loads(param_str)["factor"])
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        top = self.factor * self.weight * x
        return top, top.sum(1)

    @staticmethod
    def infer(bottoms: Shapes, tops: int, param_str: str) -> Inferred:
        return Inferred((bottoms[0], bottoms[0][:1]), ((3,),))

    @staticmethod
    def onnx(g: Onnx, param_str: str) -> None:
        factor = g.floats(json.loads(param_str)["factor"])
        top = g.op("Mul", [g.op("Mul", [factor, g.params[0]]), g.bottoms[0]], g.tops[:1])
        g.op("ReduceSum", [top, g.ints([1])], g.tops[1:], keepdims=0)


class Plain(nn.Module):
    """Without an ONNX face."""

    def __init__(self, param_str: str) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return -x

    @staticmethod
    def infer(bottoms: Shapes, tops: int, param_str: str) -> Shapes:
        return bottoms


class Described:
    """A description: no torch in it, its module one of caffeport's."""

    def __init__(self, param_str: str) -> None:
        self.method = param_str

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        return ((*bottoms[0][:2], 1, 1),)

    def torch(self, bottoms: Shapes) -> Call:
        return Call("GlobalPool", (self.method,))

"""Exponentials, logarithms and powers of a scaled and shifted number."""

import math

import torch
from torch import Tensor, nn

__all__ = ["Exp", "Log", "Power"]


class Exp(nn.Module):
    """base ^ (shift + scale * x); base -1 stands for e."""

    def __init__(self, base: float = -1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.base, self.scale, self.shift = base, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        rate = 1.0 if self.base == -1 else math.log(self.base)
        return torch.exp(rate * self.scale * x + rate * self.shift)

    def extra_repr(self) -> str:
        return f"base={self.base}, scale={self.scale}, shift={self.shift}"


class Log(nn.Module):
    """log(shift + scale * x) to a base; base -1 stands for e."""

    def __init__(self, base: float = -1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.base, self.scale, self.shift = base, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        rate = 1.0 if self.base == -1 else math.log(self.base)
        return torch.log(self.scale * x + self.shift) / rate

    def extra_repr(self) -> str:
        return f"base={self.base}, scale={self.scale}, shift={self.shift}"


class Power(nn.Module):
    """(shift + scale * x) ^ power; a constant where power or scale is 0."""

    def __init__(self, power: float = 1.0, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.power, self.scale, self.shift = power, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        if self.power * self.scale == 0:
            return torch.full_like(x, 1.0 if self.power == 0 else self.shift**self.power)
        inner = x * self.scale + self.shift
        return inner if self.power == 1 else inner**self.power

    def extra_repr(self) -> str:
        return f"power={self.power}, scale={self.scale}, shift={self.shift}"

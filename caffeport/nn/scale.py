"""Products and sums with a smaller blob that lies along some of the axes."""

import torch
from torch import Tensor, nn

__all__ = ["Bias", "Scale"]


class Scale(nn.Module):
    """x * weight (+ bias). `shape` is the smaller blob's, `wide` the same with ones to line up with x from an axis on.

    Where it is not `learned`, the factor is the second input.
    """

    def __init__(self, shape: tuple[int, ...], wide: tuple[int, ...], bias: bool = False, learned: bool = True) -> None:
        super().__init__()
        self.wide = wide
        if learned:
            self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: Tensor, factor: Tensor | None = None) -> Tensor:
        factor = self.weight if factor is None else factor
        top = x * factor.view(self.wide)
        return top if self.bias is None else top + self.bias.view(self.wide)

    def extra_repr(self) -> str:
        return f"{self.wide}"


class Bias(nn.Module):
    """x + bias, the bias learned or the second input, aligned as in Scale."""

    def __init__(self, shape: tuple[int, ...], wide: tuple[int, ...], learned: bool = True) -> None:
        super().__init__()
        self.wide = wide
        if learned:
            self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, term: Tensor | None = None) -> Tensor:
        return x + (self.bias if term is None else term).view(self.wide)

    def extra_repr(self) -> str:
        return f"{self.wide}"

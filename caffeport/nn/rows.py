"""Rows picked by numbers that come as data."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BatchReindex", "Embed", "Filter"]


class BatchReindex(nn.Module):
    """Items of x, (N, ...), in the order of M indices (floats): (M, ...)."""

    def forward(self, x: Tensor, indices: Tensor) -> Tensor:
        return x.index_select(0, indices.long())


class Embed(nn.Module):
    """Rows of the weights for the numbers of x (floats), any shape: the same shape with num_output behind it."""

    def __init__(self, input_dim: int, num_output: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(input_dim, num_output))
        self.bias = nn.Parameter(torch.zeros(num_output)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        rows = F.embedding(x.long(), self.weight)
        return rows if self.bias is None else rows + self.bias

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}"


class Filter(nn.Module):
    """The items of each input whose number in the last input is not 0, in their order."""

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        chosen = bottoms[-1].flatten() != 0
        tops = tuple(x[chosen] for x in bottoms[:-1])
        return tops[0] if len(tops) == 1 else tops

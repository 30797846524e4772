"""Caffe's fully connected layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["InnerProduct"]


class InnerProduct(nn.Linear):
    """nn.Linear over all axes from `axis` on, flattened; with `transpose` the weight is (in, out)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, axis: int = 1, transpose: bool = False
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.axis, self.transpose = axis, transpose
        if transpose:
            self.weight = nn.Parameter(torch.empty_like(self.weight.T).copy_(self.weight.detach().T))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(self.axis) if x.dim() > self.axis + 1 else x
        return F.linear(rows, self.weight.T if self.transpose else self.weight, self.bias)

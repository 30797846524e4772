"""The concatenated ReLU."""

import torch
from torch import Tensor, nn

__all__ = ["CReLU"]


class CReLU(nn.Module):
    """max(x, 0), then max(-x, 0): (N, C, ...) to (N, 2 C, ...). At 0 the gradient goes through the first."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.where(x < 0, 0, x), torch.where(x < 0, -x, 0)], 1)

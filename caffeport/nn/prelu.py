"""ReLU with one learned slope."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SharedPReLU"]


class SharedPReLU(nn.Module):
    """x above 0, weight * x below, with one slope for all channels: a tensor without axes, as in Caffe."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight.view(1))

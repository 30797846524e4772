"""Caffe's losses over distances. Each is one number, unweighted."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ContrastiveLoss", "EuclideanLoss"]


class EuclideanLoss(nn.Module):
    """Sum of squared differences over 2 N, for two inputs (N, ...) of as many elements."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b.reshape(a.shape)).square().sum() / a.shape[0] / 2


class ContrastiveLoss(nn.Module):
    """Over 2 N: squared distances of pairs that are `similar`, and max(0, margin - distance)^2 of the others.

    Inputs (N, C), (N, C) and (N), the third not 0 for similar pairs. `legacy` takes max(0, margin - distance^2).
    """

    def __init__(self, margin: float = 1.0, legacy: bool = False) -> None:
        super().__init__()
        self.margin, self.legacy = margin, legacy

    def forward(self, a: Tensor, b: Tensor, similar: Tensor) -> Tensor:
        square = (a - b.reshape(a.shape)).square().reshape(a.shape[0], -1).sum(1)
        far = F.relu(self.margin - square) if self.legacy else self.pushed(square)
        alike = similar.detach().long().reshape(-1) != 0
        return square.where(alike, far).sum() / a.shape[0] / 2

    def pushed(self, square: Tensor) -> Tensor:
        """max(0, margin - distance)^2 with Caffe's gradient, which divides by the distance + 1e-4."""
        distance = square.detach().sqrt()
        short = F.relu(self.margin - distance)
        pull = -short / (distance + 1e-4) * square
        return short.square() + (pull - pull.detach())

    def extra_repr(self) -> str:
        return f"margin={self.margin}, legacy={self.legacy}"

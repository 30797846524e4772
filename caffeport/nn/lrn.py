"""Local response normalisation within each channel."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LRNWithinChannel"]


class LRNWithinChannel(nn.Module):
    """x * (1 + alpha * mean of squares over a size x size window)^-beta; padding counts as zeros in the mean."""

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        mean = F.avg_pool2d(x.square(), self.size, 1, self.size // 2)
        return x * (1 + self.alpha * mean) ** -self.beta

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}"

"""A leaky ReLU with a ceiling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ReLU6"]


class ReLU6(nn.Module):
    """min(max(x, 0) + slope * min(x, 0), threshold); no gradient at the threshold and above it."""

    def __init__(self, slope: float = 0.0, threshold: float = 6.0) -> None:
        super().__init__()
        self.slope, self.threshold = slope, threshold

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x < self.threshold, F.leaky_relu(x, self.slope), self.threshold)

    def extra_repr(self) -> str:
        return f"slope={self.slope}, threshold={self.threshold}"

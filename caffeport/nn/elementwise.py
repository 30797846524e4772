"""Functions of single numbers that torch has under no module."""

import torch
from torch import Tensor, nn

__all__ = ["Absolute", "Clip", "Swish", "Threshold"]


class Absolute(nn.Module):
    """|x|."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class Clip(nn.Module):
    """max(least, min(x, most)); the gradient passes between the two, both included."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__()
        self.least, self.most = least, most

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(max=self.most).clamp(min=self.least)

    def extra_repr(self) -> str:
        return f"{self.least}, {self.most}"


class Swish(nn.Module):
    """x * sigmoid(beta * x)."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)

    def extra_repr(self) -> str:
        return f"{self.beta}"


class Threshold(nn.Module):
    """1 where x is above the threshold, else 0; without a gradient."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.threshold).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.threshold}"

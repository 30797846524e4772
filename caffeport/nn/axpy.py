"""SENet's scaled sum."""

from torch import Tensor, nn

__all__ = ["Axpy"]


class Axpy(nn.Module):
    """a * x + y: a (N, C) or (N, C, 1, 1), x and y (N, C, ...)."""

    def forward(self, a: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return a.reshape(*x.shape[:2], *[1] * (x.dim() - 2)) * x + y

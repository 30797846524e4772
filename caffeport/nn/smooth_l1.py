"""Fast R-CNN's loss for boxes."""

import torch
from torch import Tensor, nn

__all__ = ["SmoothL1Loss"]


class SmoothL1Loss(nn.Module):
    """Sum of f(w_in * (x - target)) * w_out, over the batch size; shapes all alike, the result a scalar.

    f is sigma^2 / 2 * d^2 where |d| < 1 / sigma^2, |d| - 1 / (2 sigma^2) elsewhere. With w_in alone (Fast R-CNN and
    SSD) the gradient is not multiplied by it, as in Caffe, where such weights are 0 or 1.
    """

    def __init__(self, sigma: float = 1.0) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor, target: Tensor, inside: Tensor | None = None, outside: Tensor | None = None) -> Tensor:
        difference = x - target
        if inside is not None and outside is not None:
            difference = inside * difference
        elif inside is not None:
            difference = difference + (inside * difference - difference).detach()
        size, square = difference.abs(), self.sigma**2
        loss = torch.where(size < 1 / square, difference.square() * (square / 2), size - 0.5 / square)
        return (loss if outside is None else loss * outside).sum() / x.shape[0]

    def extra_repr(self) -> str:
        return f"sigma={self.sigma}"

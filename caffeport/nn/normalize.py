"""SSD's normalisation by Euclidean length."""

import torch
from torch import Tensor, nn

__all__ = ["Normalize"]


class Normalize(nn.Module):
    """x / sqrt(sum of squares + eps) * weight, (N, C, ...) to the same.

    The sum runs over the channels of each pixel, or with `across_spatial` over everything in the picture; the weight
    is one number, or one per channel.
    """

    def __init__(self, channels: int | None, across_spatial: bool = True, eps: float = 1e-10) -> None:
        super().__init__()
        self.across_spatial, self.eps = across_spatial, eps
        self.weight = nn.Parameter(torch.ones(()) if channels is None else torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.dim() == 0:
            return self.unit(x) * self.weight
        weight = self.weight.view(-1, *[1] * (x.dim() - 2))
        if not x.requires_grad:
            return self.unit(x) * weight
        # Caffe's backward pass takes the gradient through the normalisation first and through the scale after it,
        # which differs where channels have scales of their own.
        unit = self.unit(x.detach() + weight.detach() * (x - x.detach()))
        return unit.detach() * weight + (unit - unit.detach())

    def unit(self, x: Tensor) -> Tensor:
        over = tuple(range(1, x.dim())) if self.across_spatial else 1
        return x / (x.square().sum(over, keepdim=True) + self.eps).sqrt()

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, across_spatial={self.across_spatial}, eps={self.eps}"

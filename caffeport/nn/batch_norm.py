"""Caffe's batch normalisation, and NVCaffe's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["AffineBatchNorm", "BatchNorm"]


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, (biased) variance per channel of (N, C, ...) or (N,), and x less its mean."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    return mean, centred.square().mean(axes, keepdim=True), centred


class BatchNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) per channel, (N, C, ...) to the same.

    The state is Caffe's own: sums of means and variances and the factor that both are divided by (0: nothing seen,
    both are 0). Training takes the batch's statistics and adds them to the sums, which fade by `fraction`;
    `stored` True always takes the stored ones, False always the batch's, None goes by the mode.
    """

    mean: Tensor
    variance: Tensor
    factor: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, fraction: float = 0.999, stored: bool | None = None) -> None:
        super().__init__()
        self.eps, self.fraction, self.stored = eps, fraction, stored
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.zeros(channels))
        self.register_buffer("factor", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.stored if self.stored is not None else not self.training:
            weight = torch.where(self.factor == 0, 0, 1 / torch.where(self.factor == 0, 1, self.factor))
            rows = x.unsqueeze(1) if x.dim() == 1 else x
            return F.batch_norm(rows, self.mean * weight, self.variance * weight, eps=self.eps).view_as(x)
        mean, variance, centred = batch_statistics(x)
        with torch.no_grad():
            count = x.numel() // self.mean.numel()
            self.factor.mul_(self.fraction).add_(1)
            self.mean.mul_(self.fraction).add_(mean.flatten())
            self.variance.mul_(self.fraction).add_(variance.flatten(), alpha=count / max(count - 1, 1))
        return centred / (variance + self.eps).sqrt()

    def extra_repr(self) -> str:
        return f"{self.mean.numel()}, eps={self.eps}, fraction={self.fraction}, stored={self.stored}"


class AffineBatchNorm(nn.Module):
    """NVCaffe's: weight * (x - mean) / sqrt(variance + eps) + bias per channel, (N, C, ...) to the same.

    Mean and variance are moving averages as they stand; `factor` is kept for the file's sake and not used. Training
    takes the batch's and moves the averages by 1 - fraction.
    """

    mean: Tensor
    variance: Tensor
    factor: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, fraction: float = 0.999) -> None:
        super().__init__()
        self.eps, self.fraction = eps, fraction
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.zeros(channels))
        self.register_buffer("factor", torch.ones(1))
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            rows = x.unsqueeze(1) if x.dim() == 1 else x
            return F.batch_norm(rows, self.mean, self.variance, self.weight, self.bias, eps=self.eps).view_as(x)
        mean, variance, centred = batch_statistics(x)
        with torch.no_grad():
            self.mean.lerp_(mean.flatten(), 1 - self.fraction)
            self.variance.lerp_(variance.flatten(), 1 - self.fraction)
        weight, bias = (blob.view_as(mean) for blob in (self.weight, self.bias))
        return weight * centred / (variance + self.eps).sqrt() + bias

    def extra_repr(self) -> str:
        return f"{self.mean.numel()}, eps={self.eps}, fraction={self.fraction}"

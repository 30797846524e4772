"""Caffe's batch normalisation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BatchNorm"]


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
            return F.batch_norm(x, self.mean * weight, self.variance * weight, eps=self.eps)
        return self.of_batch(x)

    def of_batch(self, x: Tensor) -> Tensor:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        mean = x.mean(axes, keepdim=True)
        centred = x - mean
        variance = centred.square().mean(axes, keepdim=True)
        with torch.no_grad():
            per_channel = x.numel() // self.mean.numel()
            unbiased = per_channel / (per_channel - 1) if per_channel > 1 else 1.0
            self.factor.mul_(self.fraction).add_(1)
            self.mean.mul_(self.fraction).add_(mean.flatten())
            self.variance.mul_(self.fraction).add_(variance.flatten(), alpha=unbiased)
        return centred / (variance + self.eps).sqrt()

    def extra_repr(self) -> str:
        return f"{self.mean.numel()}, eps={self.eps}, fraction={self.fraction}, stored={self.stored}"

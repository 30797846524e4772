"""The forks' BN: normalisation and affine part in one layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BN"]


class BN(nn.Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias per channel, (N, C, ...) to the same.

    `shape` is that of the blobs. With `statistics` the module stores mean and variance, which keep `momentum` of
    themselves in each pass in training: TSN's and PSPNet's. Without it every pass takes the batch's own, in
    evaluation too: SegNet's. `frozen` takes the stored ones in training as well, and nothing of it is learned;
    `own` takes the batch's in evaluation although others are stored.
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        eps: float = 1e-5,
        momentum: float = 0.9,
        statistics: bool = True,
        frozen: bool = False,
        own: bool = False,
    ) -> None:
        super().__init__()
        self.eps, self.momentum, self.statistics, self.frozen, self.own = eps, momentum, statistics, frozen, own
        self.weight, self.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))
        if statistics:
            self.register_buffer("mean", torch.zeros(shape))
            self.register_buffer("variance", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.flatten(), self.bias.flatten()
        if self.frozen:
            weight, bias = weight.detach(), bias.detach()
        if self.statistics and (self.frozen or not (self.training or self.own)):
            return F.batch_norm(x, self.mean.flatten(), self.variance.flatten(), weight, bias, eps=self.eps)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        mean = x.mean(axes, keepdim=True)
        variance = (x - mean).square().mean(axes, keepdim=True)
        if self.statistics and self.training:
            with torch.no_grad():
                # Caffe's CPU code stores the variance as it is, without n / (n - 1).
                self.mean.lerp_(mean.view_as(self.mean), 1 - self.momentum)
                self.variance.lerp_(variance.view_as(self.variance), 1 - self.momentum)
        wide = (-1, *[1] * (x.dim() - 2))
        return (x - mean) / (variance + self.eps).sqrt() * weight.view(wide) + bias.view(wide)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}, statistics={self.statistics}, frozen={self.frozen}"

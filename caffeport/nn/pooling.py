"""Caffe's pooling where torch's differs: masks, chance, windows wholly past the end, pyramids."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SPP", "GlobalPool", "Pool"]

FLT_MAX = 3.4028234663852886e38
FLT_MIN = 1.1754943508222875e-38


class GlobalPool(nn.Module):
    """Maximum or average over all of H and W, whatever they are: (N, C, H, W) to (N, C, 1, 1)."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def forward(self, x: Tensor) -> Tensor:
        # Of equal maxima the first takes the gradient, which `amax` would share out.
        return F.adaptive_max_pool2d(x, 1) if self.method == "MAX" else x.mean((2, 3), keepdim=True)

    def extra_repr(self) -> str:
        return self.method


class Pool(nn.Module):
    """MAX, AVE or STOCHASTIC pooling exactly as Caffe's loops do it: (N, C, H, W) to (N, C, H', W').

    A window past the end gives -FLT_MAX (MAX) or NaN (AVE). With `mask` the second output holds each maximum's
    index h * W + w as a float, -1 where a window is empty. STOCHASTIC follows Caffe's GPU code: training draws an
    element by its share of the window's sum, evaluation takes the mean weighted by the elements themselves.
    """

    def __init__(
        self,
        method: str,
        kernel: tuple[int, int] | None,
        stride: tuple[int, int],
        pad: tuple[int, int],
        ceil_mode: bool = True,
        mask: bool = False,
    ) -> None:
        super().__init__()
        self.method, self.kernel, self.stride, self.pad = method, kernel, stride, pad
        self.ceil_mode, self.mask = ceil_mode, mask

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        kernel = self.kernel or (x.shape[2], x.shape[3])
        out = [self.side(x.shape[2 + i], kernel[i], i) for i in (0, 1)]
        ends = [(out[i] - 1) * self.stride[i] - self.pad[i] + kernel[i] - x.shape[2 + i] for i in (0, 1)]
        frame = (self.pad[1], ends[1], self.pad[0], ends[0])
        if self.method == "MAX":
            return self.maximum(x, kernel, frame)
        if self.method == "AVE":
            total = F.avg_pool2d(F.pad(x, frame), kernel, self.stride, divisor_override=1)
            return total / self.area(x, kernel, out)
        return self.stochastic(F.pad(x, frame), kernel, out)

    def side(self, size: int, kernel: int, i: int) -> int:
        """How many windows lie along an axis."""
        room = size + 2 * self.pad[i] - kernel
        side = (-(-room // self.stride[i]) if self.ceil_mode else room // self.stride[i]) + 1
        return side - 1 if max(self.pad) > 0 and (side - 1) * self.stride[i] >= size + self.pad[i] else side

    def maximum(self, x: Tensor, kernel: tuple[int, int], frame: tuple[int, ...]) -> Tensor | tuple[Tensor, Tensor]:
        """The largest of each window, and where it is if a mask is wanted."""
        lowest = max(-FLT_MAX, torch.finfo(x.dtype).min)
        padded = F.pad(x, frame, value=lowest)
        if not self.mask:
            return F.max_pool2d(padded, kernel, self.stride)
        top, index = F.max_pool2d(padded, kernel, self.stride, return_indices=True)
        row, column = index // padded.shape[3] - self.pad[0], index % padded.shape[3] - self.pad[1]
        place = (row * x.shape[3] + column).to(x.dtype)
        return top, torch.where(top > lowest, place, torch.full_like(place, -1))

    def area(self, x: Tensor, kernel: tuple[int, int], out: list[int]) -> Tensor:
        """What Caffe divides by: the window as far as it lies on the padded bottom; below 1 where it is past that."""
        lengths = []
        for i in (0, 1):
            start = torch.arange(out[i], device=x.device) * self.stride[i] - self.pad[i]
            lengths.append((start + kernel[i]).clamp(max=x.shape[2 + i] + self.pad[i]) - start)
        return (lengths[0][:, None] * lengths[1]).to(x.dtype)

    def stochastic(self, padded: Tensor, kernel: tuple[int, int], out: list[int]) -> Tensor:
        """An element drawn by its share, or in evaluation the mean weighted by the shares."""
        n, c = padded.shape[:2]
        windows = F.unfold(padded, kernel, stride=self.stride).view(n, c, math.prod(kernel), out[0], out[1])
        if not self.training:
            return windows.square().sum(2) / (windows.sum(2) + FLT_MIN)
        sums = windows.detach().cumsum(2)
        # Caffe's GPU draws from (0, 1], torch from [0, 1).
        threshold = (1 - torch.rand_like(sums[:, :, :1])) * sums[:, :, -1:]
        drawn = (sums >= threshold).to(torch.uint8).argmax(2, keepdim=True)
        return windows.gather(2, drawn).squeeze(2)

    def extra_repr(self) -> str:
        return f"{self.method}, {self.kernel}, stride={self.stride}, pad={self.pad}, ceil_mode={self.ceil_mode}"


class SPP(nn.Module):
    """A pyramid of poolings, each one's kernel also its stride: (N, C, H, W) to (N, C * places), finest last.

    `levels` holds a (kernel, pad) pair for each; a single one keeps its four axes.
    """

    def __init__(self, method: str, levels: tuple[tuple[tuple[int, int], tuple[int, int]], ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(Pool(method, kernel, kernel, pad) for kernel, pad in levels)

    def forward(self, x: Tensor) -> Tensor:
        pooled: list[Tensor] = [level(x) for level in self.levels]
        return pooled[0] if len(pooled) == 1 else torch.cat([top.flatten(1) for top in pooled], 1)

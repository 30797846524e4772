"""Convolution, its transpose and its windows over any axes, where torch's classes know axes 2 to 4 only."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ConvolutionNd", "DeconvolutionNd", "Im2col"]

PerAxis = tuple[int, ...]


class ConvolutionNd(nn.Module):
    """Convolution over the last `axes` axes (0 or more), channels before them, anything in front as batch.

    `kernel_size`, `stride`, `padding` and `dilation` are one number for all of these axes, or one each.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        axes: int,
        kernel_size: int | PerAxis,
        stride: int | PerAxis = 1,
        padding: int | PerAxis = 0,
        dilation: int | PerAxis = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.axes, self.kernel_size, self.groups = axes, _per_axis(kernel_size, axes), groups
        self.stride, self.padding = _per_axis(stride, axes), _per_axis(padding, axes)
        self.dilation = _per_axis(dilation, axes)
        self.weight = nn.Parameter(torch.empty(self.weight_shape(in_channels, out_channels)))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def weight_shape(self, in_channels: int, out_channels: int) -> tuple[int, ...]:
        return (out_channels, in_channels // self.groups, *self.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, *x.shape[x.dim() - self.axes - 1 :])
        y = self.rows(rows, self.weight, self.stride, self.padding, self.dilation)
        if self.bias is not None:
            y = y + self.bias.view(-1, *(1,) * self.axes)
        return y.reshape(*x.shape[: x.dim() - self.axes - 1], *y.shape[1:])

    def rows(self, x: Tensor, weight: Tensor, stride: PerAxis, padding: PerAxis, dilation: PerAxis) -> Tensor:
        """(N, C, ...) to (N, C', ...) for as many axes as `stride` has."""
        axes = len(stride)
        if axes == 0:
            return F.conv1d(x.unsqueeze(2), weight.unsqueeze(2), groups=self.groups).squeeze(2)
        if axes <= 3:
            convolve = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
            return convolve(x, weight, None, stride, padding, dilation, self.groups)
        # torch stops at three axes: the first one's places join the batch, and its taps are summed.
        taps, step, gap = weight.shape[2], stride[0], dilation[0]
        padded = F.pad(x, (0, 0) * (axes - 1) + (padding[0], padding[0]))
        count = (padded.shape[2] - gap * (taps - 1) - 1) // step + 1
        reach = step * (count - 1) + 1
        places = [padded[:, :, tap * gap : tap * gap + reach : step] for tap in range(taps)]
        parts = [self.along(x, weight[:, :, k], stride[1:], padding[1:], dilation[1:]) for k, x in enumerate(places)]
        return torch.stack(parts).sum(0)

    def along(self, x: Tensor, weight: Tensor, stride: PerAxis, padding: PerAxis, dilation: PerAxis) -> Tensor:
        """`rows` with the axis behind the channels as part of the batch: (N, C, places, ...)."""
        rows = self.rows(x.transpose(1, 2).flatten(0, 1), weight, stride, padding, dilation)
        return rows.reshape(-1, x.shape[2], *rows.shape[1:]).transpose(1, 2)

    def extra_repr(self) -> str:
        return f"axes={self.axes}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class DeconvolutionNd(ConvolutionNd):
    """The transpose of `ConvolutionNd`: each place of the input adds a kernel to the output, less the padding."""

    def weight_shape(self, in_channels: int, out_channels: int) -> tuple[int, ...]:
        return (in_channels, out_channels // self.groups, *self.kernel_size)

    def rows(self, x: Tensor, weight: Tensor, stride: PerAxis, padding: PerAxis, dilation: PerAxis) -> Tensor:
        axes = len(stride)
        if axes == 0:
            return F.conv_transpose1d(x.unsqueeze(2), weight.unsqueeze(2), groups=self.groups).squeeze(2)
        if axes <= 3:
            spread = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
            return spread(x, weight, None, stride, padding, 0, self.groups, dilation)
        taps, step, gap, places = weight.shape[2], stride[0], dilation[0], x.shape[2]
        reach = step * (places - 1) + 1
        parts = [self.along(x, weight[:, :, tap], stride[1:], padding[1:], dilation[1:]) for tap in range(taps)]
        whole = x.new_zeros((*parts[0].shape[:2], reach + gap * (taps - 1), *parts[0].shape[3:]))
        for tap, part in enumerate(parts):
            whole[:, :, tap * gap : tap * gap + reach : step] += part
        return whole[:, :, padding[0] : whole.shape[2] - padding[0]]


class Im2col(nn.Module):
    """The windows of a convolution as channels: (..., C, *sides) to (..., C * kernel, *places), the kernel last."""

    def __init__(
        self,
        axes: int,
        kernel_size: int | PerAxis,
        stride: int | PerAxis = 1,
        padding: int | PerAxis = 0,
        dilation: int | PerAxis = 1,
    ) -> None:
        super().__init__()
        self.axes, self.kernel_size, self.stride = axes, _per_axis(kernel_size, axes), _per_axis(stride, axes)
        self.padding, self.dilation = _per_axis(padding, axes), _per_axis(dilation, axes)

    def forward(self, x: Tensor) -> Tensor:
        first = x.dim() - self.axes
        windows = F.pad(x, [p for pad in reversed(self.padding) for p in (pad, pad)])
        for i, (kernel, gap) in enumerate(zip(self.kernel_size, self.dilation, strict=True)):
            windows = windows.unfold(first + i, gap * (kernel - 1) + 1, self.stride[i])[..., ::gap]
        last = range(x.dim(), x.dim() + self.axes)
        return windows.permute(*range(first), *last, *range(first, x.dim())).flatten(first - 1, first + self.axes - 1)

    def extra_repr(self) -> str:
        return f"axes={self.axes}, kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _per_axis(sides: int | PerAxis, axes: int) -> tuple[int, ...]:
    return (sides,) * axes if isinstance(sides, int) else sides

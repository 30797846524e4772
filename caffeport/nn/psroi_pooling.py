"""R-FCN's position-sensitive pooling of regions."""

import torch
from torch import Tensor, nn

__all__ = ["PSROIPooling"]


class PSROIPooling(nn.Module):
    """Means over a grid of (group, group) cells on each region of x (N, output * group^2, H, W).

    Regions (R, 5) are picture, x1, y1, x2, y2 in pixels of the picture, `scale` takes them to x. Cell (i, j) of
    output channel d averages channel (d * group + i) * group + j; an empty cell gives 0. The result is
    (R, output, group, group).
    """

    def __init__(self, output: int, group: int, scale: float) -> None:
        super().__init__()
        self.output, self.group, self.scale = output, group, scale

    def forward(self, x: Tensor, regions: Tensor) -> Tensor:
        regions = regions.detach().reshape(-1, 5)
        parts = x.view(x.shape[0], self.output, self.group, self.group, x.shape[2], x.shape[3])
        own = (regions[:, :1].long() == torch.arange(x.shape[0], device=x.device)).to(x.dtype)
        rows = self.cells(regions[:, 2], regions[:, 4], x.shape[2]).to(x.dtype)
        columns = self.cells(regions[:, 1], regions[:, 3], x.shape[3]).to(x.dtype)
        sums = torch.einsum("rnih,ndijhw->rdijw", own[:, :, None, None] * rows[:, None], parts)
        sums = torch.einsum("rdijw,rjw->rdij", sums, columns)
        area = rows.sum(2)[:, :, None] * columns.sum(2)[:, None]
        return sums / area.clamp(min=1)[:, None]

    def cells(self, start: Tensor, end: Tensor, side: int) -> Tensor:
        """Which rows (or columns) belong to each cell of each region, (R, group, side)."""
        # C rounds halves away from zero, torch.round to even.
        start, end = (edge.sign() * (edge.abs() + 0.5).floor() for edge in (start, end))
        start, end = (start * self.scale)[:, None], ((end + 1) * self.scale)[:, None]
        size = (end - start).clamp(min=0.1) / self.group
        cell, step = (torch.arange(n, device=start.device, dtype=start.dtype) for n in (self.group, side))
        first, last = (cell * size + start).floor(), ((cell + 1) * size + start).ceil()
        return (step >= first[..., None]) & (step < last[..., None])

    def extra_repr(self) -> str:
        return f"{self.output}, {self.group}, {self.scale}"

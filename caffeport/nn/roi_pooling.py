"""Fast R-CNN's pooling of regions."""

import torch
from torch import Tensor, nn

__all__ = ["ROIPooling"]


class ROIPooling(nn.Module):
    """Maxima over a grid of (height, width) cells on each region of x (N, C, H, W): (R, C, height, width).

    Regions (R, 5) are picture, x1, y1, x2, y2 in pixels of the picture, `scale` takes them to x. They are rounded,
    their cells may overlap, and an empty cell gives 0. How large a cell is depends on the data, so torch.export
    cannot follow.
    """

    def __init__(self, height: int, width: int, scale: float) -> None:
        super().__init__()
        self.height, self.width, self.scale = height, width, scale

    def forward(self, x: Tensor, regions: Tensor) -> Tensor:
        regions = regions.detach().reshape(-1, 5)
        scaled = regions[:, 1:] * self.scale
        # C rounds halves away from zero, torch.round to even.
        corners = (scaled.sign() * (scaled.abs() + 0.5).floor()).cpu()
        starts, ends = corners[:, :2], corners[:, 2:]
        columns = self.edges(starts[:, 0], ends[:, 0], self.width, x.shape[3])
        rows = self.edges(starts[:, 1], ends[:, 1], self.height, x.shape[2])
        pictures = regions[:, 0].long().tolist()
        made = [self.cells(x[picture], *edges) for picture, *edges in zip(pictures, rows, columns, strict=True)]
        return torch.stack(made) if made else x.new_zeros((0, x.shape[1], self.height, self.width))

    def edges(self, start: Tensor, end: Tensor, cells: int, side: int) -> list[list[list[int]]]:
        """First and one past the last row (or column) of each cell of each region."""
        size = (end - start + 1).clamp(min=1)[:, None] / cells
        place = torch.arange(cells, dtype=size.dtype)
        first, last = (place * size).floor() + start[:, None], ((place + 1) * size).ceil() + start[:, None]
        edges: list[list[list[int]]] = torch.stack([first, last], -1).clamp(0, side).long().tolist()
        return edges

    def cells(self, picture: Tensor, rows: list[list[int]], columns: list[list[int]]) -> Tensor:
        """The grid of one region, (C, height, width)."""
        empty = picture.new_zeros(picture.shape[0])
        grid = [
            picture[:, top:bottom, left:right].flatten(1).max(1).values if top < bottom and left < right else empty
            for top, bottom in rows
            for left, right in columns
        ]
        return torch.stack(grid, 1).view(-1, self.height, self.width)

    def extra_repr(self) -> str:
        return f"{self.height}, {self.width}, {self.scale}"

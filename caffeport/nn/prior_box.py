"""SSD's prior boxes."""

import torch
from torch import Tensor, nn

__all__ = ["PriorBox"]


class PriorBox(nn.Module):
    """Boxes around every cell of a feature map (N, C, H, W), as shares of the picture's sides, and their variances.

    `sizes` are width and height in pixels of one cell's boxes. The picture's sides and the step from cell to cell are
    (height, width); without them the second input and the ratio of the two inputs' sides count. The result is
    (1, 2, H * W * boxes * 4): xmin, ymin, xmax, ymax of each box, then four variances for each.
    """

    def __init__(
        self,
        sizes: tuple[tuple[float, float], ...],
        variance: tuple[float, ...],
        image: tuple[int, int] | None = None,
        step: tuple[float, float] | None = None,
        offset: float = 0.5,
        clip: bool = False,
    ) -> None:
        super().__init__()
        self.sizes, self.variance, self.image, self.step = sizes, variance, image, step
        self.offset, self.clip = offset, clip

    def forward(self, features: Tensor, picture: Tensor) -> Tensor:
        dtype, device = torch.promote_types(features.dtype, torch.float32), features.device
        rows, columns = features.shape[2:]
        height, width = self.image or picture.shape[2:]
        step = self.step or (height / rows, width / columns)
        y = ((torch.arange(rows, dtype=dtype, device=device) + self.offset) * step[0]).view(rows, 1, 1)
        x = ((torch.arange(columns, dtype=dtype, device=device) + self.offset) * step[1]).view(1, columns, 1)
        w, h = torch.tensor(self.sizes, dtype=dtype, device=device).T / 2
        sides = [(x - w) / width, (y - h) / height, (x + w) / width, (y + h) / height]
        boxes = torch.stack([side.expand(rows, columns, len(self.sizes)) for side in sides], -1).flatten()
        if self.clip:
            boxes = boxes.clamp(0, 1)
        variances = torch.tensor(self.variance, dtype=dtype, device=device).repeat(boxes.numel() // 4)
        return torch.stack([boxes, variances])[None].to(features.dtype)

    def extra_repr(self) -> str:
        return f"{len(self.sizes)} boxes a cell"

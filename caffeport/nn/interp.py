"""DeepLab's bilinear resizing."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Interp"]


class Interp(nn.Module):
    """x (N, C, H, W), cropped by `pad` (0 or less at begin and end), resized to `size` or the second input's size."""

    def __init__(self, size: tuple[int, int] | None, pad: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.size, self.pad = size, pad

    def forward(self, x: Tensor, like: Tensor | None = None) -> Tensor:
        begin, end = self.pad
        x = x[:, :, -begin : x.shape[2] + end, -begin : x.shape[3] + end]
        size = self.size if like is None else (like.shape[2], like.shape[3])
        return F.interpolate(x, size, mode="bilinear", align_corners=True)

    def extra_repr(self) -> str:
        return f"{self.size}, pad={self.pad}"

"""Dropout as two forks of Caffe have it."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DropoutAlways", "DropoutUnscaled"]


class DropoutAlways(nn.Module):
    """Drops elements and scales the rest by 1 / (1 - ratio) in evaluation too, to sample: SegNet's."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.ratio, True)

    def extra_repr(self) -> str:
        return f"{self.ratio}"


class DropoutUnscaled(nn.Module):
    """Training drops elements and leaves the rest unscaled; evaluation multiplies by 1 - ratio: Fast R-CNN's."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.ratio, self.training) * (1 - self.ratio)

    def extra_repr(self) -> str:
        return f"{self.ratio}"

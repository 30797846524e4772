"""Dropout as Fast R-CNN's Caffe does it with scale_train: false."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DropoutUnscaled"]


class DropoutUnscaled(nn.Module):
    """Training drops elements and leaves the rest unscaled; evaluation multiplies by 1 - ratio."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.ratio, self.training) * (1 - self.ratio)

    def extra_repr(self) -> str:
        return f"{self.ratio}"

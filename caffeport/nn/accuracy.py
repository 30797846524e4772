"""Caffe's accuracy."""

import torch
from torch import Tensor, nn

__all__ = ["Accuracy"]


class Accuracy(nn.Module):
    """Share of labels whose score is among the `top_k` best along `axis`; with `per_class` also for each class.

    A score that ties with the label's own counts as better. x (N, C, ...), label (N, ...); without a label: 0.
    """

    def __init__(self, top_k: int = 1, axis: int = 1, ignore: int | None = None, per_class: bool = False) -> None:
        super().__init__()
        self.top_k, self.axis, self.ignore, self.per_class = top_k, axis, ignore, per_class

    def forward(self, x: Tensor, label: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = x.detach()
        index = label.detach().long().reshape(*x.shape[: self.axis], 1, *x.shape[self.axis + 1 :])
        kept = torch.ones_like(index, dtype=torch.bool) if self.ignore is None else index != self.ignore
        own = x.gather(self.axis, index * kept)
        right = ((x >= own).sum(self.axis, keepdim=True) <= self.top_k) & kept
        share = right.sum().to(x.dtype) / kept.sum().clamp(min=1)
        if not self.per_class:
            return share
        classes = torch.arange(x.shape[self.axis], device=x.device)
        mine = index.movedim(self.axis, -1) == classes
        hits, labels = (
            (mine & mask.movedim(self.axis, -1)).reshape(-1, classes.numel()).sum(0) for mask in (right, kept)
        )
        return share, hits.to(x.dtype) / labels.clamp(min=1)

    def extra_repr(self) -> str:
        return f"top_k={self.top_k}, axis={self.axis}, ignore={self.ignore}"

"""Caffe's losses over classes. Labels are floats that hold whole numbers; each loss is one number, unweighted."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["HingeLoss", "InfogainLoss", "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss", "SoftmaxWithLoss"]

LEAST_PROBABILITY = 1.1754943508222875e-38  # FLT_MIN, under the logarithm of SoftmaxWithLoss
LOG_THRESHOLD = 1e-20  # under the logarithms of the older losses


def log_probabilities(x: Tensor, axis: int, least: float) -> Tensor:
    """log(max(softmax(x), least)); its gradient is log_softmax's everywhere, as Caffe's backward has no floor."""
    smooth = x.log_softmax(axis)
    return smooth + (x.softmax(axis).clamp(min=least).log() - smooth).detach()


def class_index(x: Tensor, label: Tensor, axis: int) -> Tensor:
    """Labels as whole numbers (cut off, as C does), shaped like x with a single place on `axis`."""
    return label.detach().long().reshape(*x.shape[:axis], 1, *x.shape[axis + 1 :])


def kept_labels(index: Tensor, ignore: int | None) -> Tensor:
    """True where a label counts."""
    return torch.ones_like(index, dtype=torch.bool) if ignore is None else index != ignore


def normalised_loss(total: Tensor, kept: Tensor, mode: str, outer: int) -> Tensor:
    """A sum over labels, divided by their count as `mode` says, by 1 at least."""
    if mode == "VALID":
        return total / kept.sum().clamp(min=1)
    return total / max(1, {"FULL": kept.numel(), "BATCH_SIZE": outer, "NONE": 1}[mode])


class SoftmaxWithLoss(nn.Module):
    """Cross entropy of softmax(x) along `axis`, x (N, C, ...), label (N, ...) or as many; with `prob` also softmax(x).

    normalization: FULL divides by all labels, VALID by those not ignored, BATCH_SIZE by the sides before the axis,
    NONE by nothing. weights: a factor for each class's places, which the division does not count.
    """

    def __init__(
        self,
        axis: int = 1,
        ignore: int | None = None,
        normalization: str = "VALID",
        prob: bool = False,
        weights: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        self.axis, self.ignore, self.normalization, self.prob = axis, ignore, normalization, prob
        self.weights = weights

    def forward(self, x: Tensor, label: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        index = class_index(x, label, self.axis)
        kept = kept_labels(index, self.ignore)
        chosen = log_probabilities(x, self.axis, LEAST_PROBABILITY).gather(self.axis, index * kept)
        if self.weights:
            chosen = chosen * x.new_tensor(self.weights)[index * kept]
        total = -chosen.masked_fill(~kept, 0).sum()
        loss = normalised_loss(total, kept, self.normalization, math.prod(x.shape[: self.axis]))
        # Caffe's backward takes no gradient from the second top.
        return (loss, x.detach().softmax(self.axis)) if self.prob else loss

    def extra_repr(self) -> str:
        return f"axis={self.axis}, ignore={self.ignore}, normalization={self.normalization}"


class InfogainLoss(nn.Module):
    """Cross entropy of softmax(x) along `axis` with row `label` of a C x C matrix, third input or `matrix`."""

    def __init__(
        self,
        axis: int = 1,
        ignore: int | None = None,
        normalization: str = "VALID",
        prob: bool = False,
        matrix: tuple[float, ...] = (),
    ) -> None:
        super().__init__()
        self.axis, self.ignore, self.normalization, self.prob = axis, ignore, normalization, prob
        self.matrix = matrix

    def forward(self, x: Tensor, label: Tensor, matrix: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        classes = x.shape[self.axis]
        gains = (x.new_tensor(self.matrix) if matrix is None else matrix.detach()).reshape(classes, classes)
        index = class_index(x, label, self.axis)
        kept = kept_labels(index, self.ignore)
        rows = gains[(index * kept).squeeze(self.axis)].movedim(-1, self.axis)
        terms = rows * log_probabilities(x, self.axis, LOG_THRESHOLD)
        loss = normalised_loss(
            -terms.masked_fill(~kept, 0).sum(), kept, self.normalization, math.prod(x.shape[: self.axis])
        )
        return (loss, x.detach().softmax(self.axis)) if self.prob else loss

    def extra_repr(self) -> str:
        return f"axis={self.axis}, ignore={self.ignore}, normalization={self.normalization}"


class SigmoidCrossEntropyLoss(nn.Module):
    """Cross entropy of sigmoid(x) with targets from 0 to 1 of as many elements; x (N, ...)."""

    def __init__(self, ignore: int | None = None, normalization: str = "BATCH_SIZE") -> None:
        super().__init__()
        self.ignore, self.normalization = ignore, normalization

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        target = target.detach().reshape(x.shape)
        kept = kept_labels(target.long(), self.ignore)
        each = F.binary_cross_entropy_with_logits(x, target, reduction="none")
        return normalised_loss(each.masked_fill(~kept, 0).sum(), kept, self.normalization, x.shape[0])

    def extra_repr(self) -> str:
        return f"ignore={self.ignore}, normalization={self.normalization}"


class HingeLoss(nn.Module):
    """Sum of max(0, 1 + x), for the label's own class max(0, 1 - x), squared if `norm` is L2, over N; x (N, ...)."""

    def __init__(self, norm: str = "L1") -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        rows = x.reshape(x.shape[0], -1)
        own = label.detach().long().reshape(-1, 1)
        hinge = F.relu(1 + rows * torch.ones_like(rows).scatter(1, own, -1.0))
        return (hinge.square() if self.norm == "L2" else hinge).sum() / x.shape[0]

    def extra_repr(self) -> str:
        return self.norm


class MultinomialLogisticLoss(nn.Module):
    """Mean of -log(p[label]) for probabilities p (N, ...), which are 1e-20 at least."""

    def forward(self, p: Tensor, label: Tensor) -> Tensor:
        chosen = p.reshape(p.shape[0], -1).gather(1, label.detach().long().reshape(-1, 1))
        # The gradient is 1 / max(p, 1e-20) on either side of the floor.
        chosen = chosen + (chosen.clamp(min=LOG_THRESHOLD) - chosen).detach()
        return -chosen.log().sum() / p.shape[0]

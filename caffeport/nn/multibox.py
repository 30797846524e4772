"""SSD's loss: priors matched with true boxes, the hardest of the rest taken as negatives."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MultiBoxLoss"]

# The largest loss of one prediction: Caffe keeps probabilities at FLT_MIN or above.
MULTIBOX_MOST = 87.33654475


class MultiBoxLoss(nn.Module):
    """Location and confidence loss of predictions (N, priors * 4) and (N, priors * classes), a scalar.

    Priors are (1, 2, priors * 4); true boxes (1, 1, boxes, 8): picture (-1: none), label, number, xmin, ymin, xmax,
    ymax, difficult. Each true box gets the free prior that overlaps it most, then with `per_prediction` every prior
    that overlaps one by `overlap` or more is matched too. `mining` says what counts for confidence: everything
    (NONE), the matched priors and `ratio` times as many of the worst others (MAX_NEGATIVE), or the `sample` worst of
    each picture (HARD_EXAMPLE).
    """

    def __init__(
        self,
        classes: int,
        background: int = 0,
        shared: bool = True,
        code: str = "CORNER",
        variance_in_target: bool = False,
        smooth: bool = True,
        softmax: bool = True,
        weight: float = 1.0,
        per_prediction: bool = True,
        overlap: float = 0.5,
        difficult: bool = True,
        agnostic: bool = False,
        inside_only: bool = False,
        bp_inside: bool = False,
        mining: str = "MAX_NEGATIVE",
        ratio: float = 3.0,
        negative_overlap: float = 0.5,
        sample: int = 64,
        normalization: str = "VALID",
        parts: tuple[bool, bool] = (True, True),
    ) -> None:
        super().__init__()
        self.classes, self.background, self.shared = classes, background, shared
        self.code, self.variance_in_target, self.smooth, self.softmax = code, variance_in_target, smooth, softmax
        self.weight, self.per_prediction, self.overlap = weight, per_prediction, overlap
        self.difficult, self.agnostic, self.inside_only, self.bp_inside = difficult, agnostic, inside_only, bp_inside
        self.mining, self.ratio, self.negative_overlap, self.sample = mining, ratio, negative_overlap, sample
        self.normalization, self.parts = normalization, parts

    def forward(self, location: Tensor, scores: Tensor, priors: Tensor, truth: Tensor) -> Tensor:
        n, (prior, variance) = scores.shape[0], priors.detach()[0].view(2, -1, 4).unbind()
        location = location.reshape(n, len(prior), -1, 4)
        scores = scores.reshape(n, len(prior), self.classes)
        found = [self.match(prior, self.boxes_of(truth.detach().reshape(-1, 8), picture)) for picture in range(n)]
        self.mine(found, location.detach(), scores.detach(), prior, variance)
        losses, matches = self.losses(found, location, scores, prior, variance)
        counts = {"FULL": n * len(prior), "VALID": matches, "BATCH_SIZE": n, "NONE": 1}
        top = sum((loss for loss, counted in zip(losses, self.parts, strict=True) if counted), scores.new_zeros(()))
        return top / max(counts[self.normalization], 1)

    def boxes_of(self, truth: Tensor, picture: int) -> Tensor:
        """The true boxes (boxes, 8) of one picture."""
        chosen = truth[:, 0].long() == picture
        return truth[chosen if self.difficult else chosen & (truth[:, 7] == 0)]

    def match(self, prior: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """For every prior the true box that it stands for (-1: none, -2: not to be used), and its best overlap."""
        index = torch.full((len(prior),), -1, dtype=torch.int64, device=prior.device)
        if not len(truth):
            return {"truth": truth, "index": index, "overlap": prior.new_zeros(len(prior))}
        overlaps = self.overlaps(prior, truth[:, 3:7])
        if self.inside_only:
            outside = ((prior < 0) | (prior > 1)).any(1)
            index[outside] = -2
            overlaps[outside] = 0
        best = overlaps.amax(1)
        open_pairs = overlaps.masked_fill((index < -1)[:, None], 0)
        for _ in range(len(truth)):
            pair = int(open_pairs.argmax())
            i, j = divmod(pair, len(truth))
            if open_pairs[i, j] <= 0:
                break
            index[i], best[i] = j, overlaps[i, j]
            open_pairs[i], open_pairs[:, j] = 0, 0
        if self.per_prediction:
            largest, which = overlaps.max(1)
            index = torch.where((index == -1) & (largest >= self.overlap) & (largest > 0), which, index)
        return {"truth": truth, "index": index, "overlap": best}

    def overlaps(self, prior: Tensor, truth: Tensor) -> Tensor:
        """Intersection over union (priors, boxes); what is not above 1e-6 counts as 0."""
        low = torch.maximum(prior[:, None, :2], truth[None, :, :2])
        sides = (torch.minimum(prior[:, None, 2:], truth[None, :, 2:]) - low).clamp(min=0)
        common = sides[..., 0] * sides[..., 1]
        areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (prior, truth)]
        union = areas[0][:, None] + areas[1] - common
        overlap = torch.where(common > 0, common / union, 0)
        return torch.where(overlap > 1e-6, overlap, 0)

    def mine(
        self, found: list[dict[str, Tensor]], location: Tensor, scores: Tensor, prior: Tensor, variance: Tensor
    ) -> None:
        """Add to each picture the mask of its negatives; HARD_EXAMPLE also drops the matches that are easy."""
        for picture, one in enumerate(found):
            index = one["index"]
            one["negative"] = torch.zeros_like(index, dtype=torch.bool)
            if self.mining == "NONE" or not len(one["truth"]):
                continue
            loss = self.confidence(scores[picture], self.labels(one))
            able, count = torch.ones_like(index, dtype=torch.bool), self.sample
            if self.mining == "MAX_NEGATIVE":
                able = (index == -1) & (one["overlap"] < self.negative_overlap)
                count = int(int((index > -1).sum()) * self.ratio)
            else:
                matched = index > -1
                each = self.distance(*self.targets(one, location[picture], prior, variance))
                loss = loss.clone().masked_scatter(matched, loss[matched] + each.view(-1, 4).sum(1))
            order = torch.where(able, loss, -torch.inf).sort(dim=0, descending=True, stable=True).indices
            chosen = torch.zeros_like(able).index_fill(0, order[: min(count, int(able.sum()))], True)
            if self.mining == "HARD_EXAMPLE":
                one["index"] = torch.where((index > -1) & ~chosen, -1, index)
            one["negative"] = chosen & (index == -1)

    def labels(self, one: dict[str, Tensor]) -> Tensor:
        """The label that each prior should get."""
        truth, index = one["truth"], one["index"]
        if not len(truth):
            return torch.full_like(index, self.background)
        label = truth[index.clamp(min=0), 1].long()
        if self.agnostic:
            label = torch.full_like(label, self.background + 1)
        return torch.where(index > -1, label, self.background)

    def targets(
        self, one: dict[str, Tensor], location: Tensor, prior: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predictions and what they should be, (matches, 4) each."""
        matched = one["index"] > -1
        truth = one["truth"][one["index"][matched]] if len(one["truth"]) else prior.new_zeros(0, 8)
        label = torch.zeros_like(truth[:, 1]).long() if self.shared else truth[:, 1].long()
        got = location[matched].gather(1, label.view(-1, 1, 1).expand(-1, 1, 4)).squeeze(1)
        prior, variance = prior[matched], variance[matched]
        want = self.encode(truth[:, 3:7], prior)
        if not self.variance_in_target:
            want = want / variance
        if self.bp_inside:
            got = torch.where((prior < 0) | (prior > 1), want, got)
        return (got / variance, want / variance) if self.variance_in_target else (got, want)

    def encode(self, box: Tensor, prior: Tensor) -> Tensor:
        """True boxes (boxes, 4) as seen from their priors."""
        if self.code == "CORNER":
            return box - prior
        size = prior[:, 2:] - prior[:, :2]
        if self.code == "CORNER_SIZE":
            return (box - prior) / torch.cat([size, size], 1)
        shift = (box[:, :2] + box[:, 2:] - prior[:, :2] - prior[:, 2:]) / 2 / size
        return torch.cat([shift, ((box[:, 2:] - box[:, :2]) / size).log()], 1)

    def distance(self, got: Tensor, want: Tensor) -> Tensor:
        """The location loss of each number."""
        difference = got - want
        square = difference.square() / 2
        return torch.where(difference.abs() < 1, square, difference.abs() - 0.5) if self.smooth else square

    def confidence(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The confidence loss of each prior: scores (priors, classes), labels (priors)."""
        if not self.softmax:
            # Caffe fills what is no label with the background's number.
            wanted = torch.full_like(scores, float(self.background)) if self.background else torch.zeros_like(scores)
            known = ((labels >= 0) & (labels < self.classes))[:, None]
            hit = F.one_hot(labels.clamp(0, self.classes - 1), self.classes).bool() & known
            wanted = torch.where(hit, 1.0, wanted)
            return (F.softplus(-scores.abs()) + scores.clamp(min=0) - scores * wanted).sum(1)
        loss = F.cross_entropy(scores, labels, reduction="none")
        return loss + (loss.clamp(max=MULTIBOX_MOST) - loss).detach()

    def losses(
        self, found: list[dict[str, Tensor]], location: Tensor, scores: Tensor, prior: Tensor, variance: Tensor
    ) -> tuple[tuple[Tensor, Tensor], int]:
        """Location loss, confidence loss, and how many priors were matched."""
        total = [location.new_zeros(()), scores.new_zeros(())]
        for picture, one in enumerate(found):
            total[0] = (
                total[0] + self.weight * self.distance(*self.targets(one, location[picture], prior, variance)).sum()
            )
            counted = (one["index"] > -1) | one["negative"]
            if self.mining == "NONE":
                counted = torch.ones_like(counted)
            total[1] = total[1] + self.confidence(scores[picture][counted], self.labels(one)[counted]).sum()
        return (total[0], total[1]), sum(int((one["index"] > -1).sum()) for one in found)

    def extra_repr(self) -> str:
        return f"{self.classes}, code={self.code}, mining={self.mining}"

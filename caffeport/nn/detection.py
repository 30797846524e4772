"""SSD's detections: predictions decoded into boxes, overlapping ones suppressed."""

import torch
from torch import Tensor, nn

__all__ = ["DetectionOutput"]


class DetectionOutput(nn.Module):
    """Detections out of location predictions (N, boxes * 4), scores (N, boxes * classes) and priors (1, 2, boxes * 4).

    The result is (1, 1, detections, 7): picture, label, score, xmin, ymin, xmax, ymax, sorted by picture, label and
    falling score. Where nothing is found in the whole batch it is one row per picture: its number and six times -1.
    """

    def __init__(
        self,
        classes: int,
        background: int = 0,
        shared: bool = True,
        code: str = "CORNER",
        variance_in_target: bool = False,
        threshold: float = -3.4028234663852886e38,
        overlap: float = 0.3,
        top_k: int = -1,
        keep: int = -1,
        eta: float = 1.0,
    ) -> None:
        super().__init__()
        self.classes, self.shared, self.code, self.variance_in_target = classes, shared, code, variance_in_target
        self.labels = [label for label in range(classes) if label != background]
        self.threshold, self.overlap, self.top_k, self.keep, self.eta = threshold, overlap, top_k, keep, eta

    def forward(self, location: Tensor, scores: Tensor, priors: Tensor, *_pictures: Tensor) -> Tensor:
        # Caffe has no way back through this layer.
        location, scores = location.detach(), scores.detach()
        n, labels = scores.shape[0], torch.tensor(self.labels, device=scores.device)
        boxes = self.decode(location.reshape(n, -1, 1 if self.shared else self.classes, 4), priors)
        boxes = boxes.expand(n, -1, len(self.labels), 4) if self.shared else boxes[:, :, labels]
        scores = scores.reshape(n, -1, self.classes)[:, :, labels].transpose(1, 2)
        # Rows of candidates, best first, one row per picture and label. Equal scores keep their order, as in Caffe.
        best = scores.sort(dim=-1, descending=True, stable=True)
        count = scores.shape[2] if self.top_k < 0 else min(self.top_k, scores.shape[2])
        ranked, places = best.values[:, :, :count], best.indices[:, :, :count]
        boxes = boxes.transpose(1, 2).gather(2, places[..., None].expand(-1, -1, -1, 4))
        kept = self.suppress(boxes.flatten(0, 1), (ranked > self.threshold).flatten(0, 1)).view(n, -1)
        if -1 < self.keep < kept.shape[1]:
            order = torch.where(kept, ranked.flatten(1), -torch.inf).sort(dim=-1, descending=True, stable=True).indices
            kept = kept & torch.zeros_like(kept).scatter(1, order[:, : self.keep], True)
        pictures = torch.arange(n, device=scores.device, dtype=scores.dtype)
        columns = [pictures.view(n, 1, 1).expand_as(ranked), labels.to(scores.dtype)[:, None].expand_as(ranked), ranked]
        found = torch.cat([torch.stack(columns, -1), boxes], -1).view(-1, 7)
        nothing = torch.cat([pictures[:, None], -torch.ones_like(found[:n, :1]).expand(n, 6)], 1)
        chosen = torch.cat([kept.flatten(), (~kept.any()).expand(n)])
        return torch.cat([found, nothing])[chosen][None, None]

    def decode(self, location: Tensor, priors: Tensor) -> Tensor:
        """Predictions (N, boxes, 1 or classes, 4) as boxes of the same shape."""
        prior, variance = priors[0].view(2, -1, 1, 4).unbind()
        low, high = prior[..., :2], prior[..., 2:]
        shift = location if self.variance_in_target else location * variance
        if self.code == "CORNER":
            return prior + shift
        size = high - low
        if self.code == "CORNER_SIZE":
            return prior + shift * torch.cat([size, size], -1)
        centre = (low + high) / 2 + shift[..., :2] * size
        half = shift[..., 2:].exp() * size / 2
        return torch.cat([centre - half, centre + half], -1)

    def suppress(self, boxes: Tensor, valid: Tensor) -> Tensor:
        """Which boxes stay, for rows of boxes (R, K, 4) by falling score: a box must not overlap a better one."""
        # A loop that is compiled wants its state in one layout.
        boxes, valid = boxes.contiguous(), valid.contiguous()
        sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
        areas = sides[..., 0] * sides[..., 1]
        limits = torch.full_like(areas[:, :1], self.overlap)

        def step(i: Tensor, kept: Tensor, limits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            box = boxes.index_select(1, i)
            low, high = torch.maximum(box[..., :2], boxes[..., :2]), torch.minimum(box[..., 2:], boxes[..., 2:])
            sides = (high - low).clamp(min=0)
            common = sides[..., 0] * sides[..., 1]
            overlaps = torch.where(common > 0, common / (areas.index_select(1, i) + areas - common), 0)
            stays = valid.index_select(1, i) & ~(kept & (overlaps > limits)).any(1, keepdim=True)
            kept = kept.index_copy(1, i, stays)
            return i + 1, kept, torch.where(stays & (limits > 0.5), limits * self.eta, limits)

        state = (torch.zeros(1, dtype=torch.int64, device=boxes.device), torch.zeros_like(valid), limits)
        if torch.compiler.is_compiling():
            last = boxes.shape[1]
            state = torch.while_loop(lambda i, *_: (i < last).all(), step, state)  # type: ignore[no-untyped-call]
        else:
            for _ in range(int(valid.sum(1).max()) if valid.numel() else 0):
                state = step(*state)
        return state[1]

    def extra_repr(self) -> str:
        return f"{self.classes}, code={self.code}, threshold={self.threshold}, overlap={self.overlap}"

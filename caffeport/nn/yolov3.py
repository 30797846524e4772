"""YOLO's detections: boxes decoded from maps of cells, overlapping ones suppressed."""

import torch
from torch import Tensor, nn

__all__ = ["Yolov3Detection"]


class Yolov3Detection(nn.Module):
    """Detections out of maps (N, anchors * (5 + classes), side, side): (1, 1, detections, 7), best first.

    A row is 0, label (from 1), score, xmin, ymin, xmax, ymax. Boxes of all pictures and labels suppress each other,
    as in the fork. Where nothing is found there is one row per picture: its number and six times -1.
    """

    def __init__(
        self,
        classes: int,
        anchors: tuple[tuple[tuple[float, float], ...], ...],
        scales: tuple[int, ...],
        threshold: float,
        overlap: float,
    ) -> None:
        super().__init__()
        self.classes, self.anchors, self.scales = classes, anchors, scales
        self.threshold, self.overlap = threshold, overlap

    def forward(self, *maps: Tensor) -> Tensor:
        made = [self.decode(*each) for each in zip(maps, self.anchors, self.scales, strict=True)]
        boxes, scores = torch.cat([box for box, _ in made]), torch.cat([score for _, score in made])
        places = (scores > self.threshold).nonzero()
        score = scores[places[:, 0], places[:, 1]]
        order = score.sort(descending=True, stable=True).indices
        places, score = places[order], score[order]
        kept = self.suppress(boxes[places[:, 0]])
        if not len(kept):
            pictures = torch.arange(maps[0].shape[0], device=scores.device, dtype=scores.dtype)[:, None]
            return torch.cat([pictures, -torch.ones_like(pictures).expand(-1, 6)], 1)[None, None]
        label = (places[kept, 1:] + 1).to(scores.dtype)
        rows = [torch.zeros_like(label), label, score[kept, None], self.corners(boxes[places[kept, 0]])]
        return torch.cat(rows, 1)[None, None]

    def decode(self, x: Tensor, anchors: tuple[tuple[float, float], ...], scale: int) -> tuple[Tensor, Tensor]:
        """Centres and sides (boxes, 4), scores (boxes, classes) of one map."""
        side = x.shape[3]
        x = x.detach().view(x.shape[0], len(anchors), 5 + self.classes, side * side).permute(0, 3, 1, 2)
        cell = torch.arange(side * side, device=x.device)
        cells = torch.stack([cell % side, cell.div(side, rounding_mode="floor")], 1)[:, None].to(x.dtype)
        sizes = torch.tensor(anchors, device=x.device, dtype=x.dtype) / (side * scale)
        boxes = torch.cat([(x[..., :2].sigmoid() + cells) / side, x[..., 2:4].exp() * sizes], -1)
        scores = x[..., 4:5].sigmoid() * x[..., 5:].sigmoid()
        return boxes.reshape(-1, 4), scores.reshape(-1, self.classes)

    def corners(self, boxes: Tensor) -> Tensor:
        """Corners of boxes given by centre and sides."""
        return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)

    def suppress(self, boxes: Tensor) -> Tensor:
        """Places of the boxes, best first, that overlap no better one that stays by the threshold or more."""
        corners, areas = self.corners(boxes), boxes[:, 2] * boxes[:, 3]
        left, kept = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device), list[int]()
        while bool(left.any()):
            i = int(left.to(torch.uint8).argmax())
            kept.append(i)
            low, high = torch.maximum(corners[i, :2], corners[:, :2]), torch.minimum(corners[i, 2:], corners[:, 2:])
            common = (high - low).clamp(min=0).prod(1)
            left &= ~(common / (areas[i] + areas - common) >= self.overlap)
            left[i] = False
        return torch.tensor(kept, dtype=torch.int64, device=boxes.device)

    def extra_repr(self) -> str:
        return f"{self.classes}, threshold={self.threshold}, overlap={self.overlap}"

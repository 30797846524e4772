"""Faster R-CNN's proposals of regions."""

import torch
from torch import Tensor, nn

__all__ = ["Proposal"]


class Proposal(nn.Module):
    """Regions (R, 5) as picture, x1, y1, x2, y2, best first in each picture, and their scores
    where `scored` is 1, as (R,), or 2, as (R, 1).

    Inputs are scores (N, 2 A, H, W), of which the second half counts, moves (N, 4 A, H, W) and the pictures' height,
    width and scale (N, 3 or more). Anchors stand on every cell, `stride` pixels apart. Of the boxes, moved and
    clipped, those with a side below min_size * scale are dropped (`drop`) or get score 0; the `before` best go through
    suppression, of which at most `after` are kept: two numbers each, in evaluation and in training.
    """

    def __init__(
        self,
        anchors: tuple[tuple[float, float, float, float], ...],
        stride: int,
        min_size: float,
        before: tuple[int, int],
        after: tuple[int, int],
        overlap: float,
        drop: bool,
        scored: int = 0,
    ) -> None:
        super().__init__()
        self.corners, self.stride, self.min_size, self.before, self.after = anchors, stride, min_size, before, after
        self.overlap, self.drop, self.scored = overlap, drop, scored

    def forward(self, scores: Tensor, moves: Tensor, info: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        n, anchors = scores.shape[0], len(self.corners)
        scores = scores.detach()[:, anchors:].permute(0, 2, 3, 1).reshape(n, -1)
        boxes = self.boxes(moves.detach(), info)
        sides = boxes[..., 2:] - boxes[..., :2] + 1
        # The last number is the width's own scale in some forks; in the others it is the only one.
        least = self.min_size * torch.stack([info[:, -1], info[:, 2]], 1)[:, None]
        large = (sides >= least).all(-1)
        found, marks = [], []
        for picture in range(n):
            own, score = boxes[picture], torch.where(large[picture], scores[picture], 0)
            if self.drop:
                own, score = own[large[picture]], score[large[picture]]
            order = score.sort(descending=True, stable=True).indices[: self.before[self.training]]
            kept = order[self.suppress(own[order])]
            found.append(torch.cat([torch.full_like(own[kept, :1], picture), own[kept]], 1))
            marks.append(score[kept])
        if not self.scored:
            return torch.cat(found)
        return torch.cat(found), torch.cat(marks).view(-1, *[1] * (self.scored - 1))

    def boxes(self, moves: Tensor, info: Tensor) -> Tensor:
        """The moved and clipped boxes, (N, H * W * A, 4)."""
        n, _, height, width = moves.shape
        x, y = (torch.arange(side, device=moves.device, dtype=moves.dtype) * self.stride for side in (width, height))
        shifts = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1] * 2, -1).view(-1, 1, 4)
        corners = torch.tensor(self.corners, device=moves.device, dtype=moves.dtype)
        stand = (corners + shifts).view(-1, 4)
        low, high = stand[:, :2], stand[:, 2:]
        size = high - low + 1
        move = moves.permute(0, 2, 3, 1).reshape(n, -1, 4)
        centre, half = move[..., :2] * size + low + 0.5 * size, 0.5 * move[..., 2:].exp() * size
        most = info[:, [1, 0, 1, 0]].to(moves.dtype)[:, None] - 1
        return torch.cat([centre - half, centre + half], -1).minimum(most).clamp(min=0)

    def suppress(self, boxes: Tensor) -> Tensor:
        """Places of the boxes (K, 4), best first, that overlap no better one that stays."""
        areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
        left, kept = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device), list[int]()
        while len(kept) < self.after[self.training] and bool(left.any()):
            i = int(left.to(torch.uint8).argmax())
            kept.append(i)
            low, high = torch.maximum(boxes[i, :2], boxes[:, :2]), torch.minimum(boxes[i, 2:], boxes[:, 2:])
            common = (high - low + 1).clamp(min=0).prod(1)
            left &= common / (areas[i] + areas - common) <= self.overlap
            left[i] = False
        return torch.tensor(kept, dtype=torch.int64, device=boxes.device)

    def extra_repr(self) -> str:
        return f"{len(self.corners)} anchors, stride={self.stride}, after={self.after}, overlap={self.overlap}"

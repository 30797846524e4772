"""Detections beside Caffe's own, whose sort leaves the order of equal scores open."""

from __future__ import annotations

from typing import Any


def align(got: Any, want: Any, keep: int) -> Any:
    """Detections (1 x 1 x R x 7) in the order of Caffe's, which sorts equal scores in no particular order.

    Rows of equal picture, label and score change places. Where a picture has as many rows as it may keep, Caffe may
    have kept others of those with the lowest score: there only picture and score count.
    """
    if got.shape != want.shape:
        return got
    rows, wanted, placed = got.reshape(-1, 7), want.reshape(-1, 7), got.copy().reshape(-1, 7)
    waiting: dict[tuple[float, ...], list[Any]] = {}
    for row in rows:
        waiting.setdefault(_place(row, wanted, keep), []).append(row)
    for number, row in enumerate(wanted):
        group = waiting.get(_place(row, wanted, keep))
        if not group:
            return got
        near = min(range(len(group)), key=lambda k: float(abs(group[k] - row).max()))
        found = group.pop(near)
        placed[number] = row if _open(row, wanted, keep) and not _close(found, row) else found
    return placed.reshape(got.shape)


def _place(row: Any, wanted: Any, keep: int) -> tuple[float, ...]:
    """What rows must share to change places."""
    return (row[0], row[2]) if _open(row, wanted, keep) else tuple(row[:3])


def _open(row: Any, wanted: Any, keep: int) -> bool:
    """Whether a row has the lowest score of a picture that has as many rows as it may keep."""
    scores = wanted[wanted[:, 0] == row[0], 2]
    return len(scores) == keep and bool(row[2] == scores.min())


def _close(one: Any, other: Any) -> bool:
    return bool(abs(one - other).max() <= 1e-4)

"""Numbers about predictions beside the truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from caffeport.errors import Refused
from caffeport.transform.needs import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

RESAMPLES: Final = 1000
_AT_ONCE: Final = 1 << 22
"""Values that the bootstrap ranks at a time: 32 MB."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Predictions beside the truth. What is undefined (ranks of a constant) is None.

    Attributes:
        count: pictures.
        rho: Spearman's rank correlation, ties averaged.
        rho_low, rho_high: its 95 % bootstrap interval (percentiles of resampled pictures).
        pearson: the linear correlation.
        mse: the mean squared error.
        mean, std: of the predictions; true_mean, true_std: of the truth (population).
        ratio: std / true_std.
        ks: the Kolmogorov-Smirnov distance between the two distributions, 0 to 1.
    """

    count: int
    rho: float | None
    rho_low: float | None
    rho_high: float | None
    pearson: float | None
    mse: float
    mean: float
    std: float
    true_mean: float
    true_std: float
    ratio: float | None
    ks: float

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Classification:
    """Classes beside the truth: shares of pictures whose class is the best, or among the best five."""

    count: int
    correct: int
    top1: float
    top5: float | None
    confusion: tuple[tuple[int, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def agreement(predicted: Any, truth: Any, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """Compare scores, (N,) each. Raises Refused for fewer than two, other shapes, or values that are not finite."""
    stats = need("scipy.stats")
    guess, true = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if guess.shape != true.shape or guess.ndim != 1 or guess.size < 2:
        raise Refused("evaluate", f"{guess.shape} predictions and {true.shape} truths", "one each, two or more")
    if not (np.isfinite(guess).all() and np.isfinite(true).all()):
        raise Refused("evaluate", "a prediction or a true score is not finite", "numbers are compared")
    ranked = float(np.ptp(guess)) > 0 and float(np.ptp(true)) > 0
    low, high = _interval(guess, true, seed, resamples) if ranked and resamples else (None, None)
    std, true_std = float(guess.std()), float(true.std())
    return Agreement(
        count=guess.size,
        rho=float(_correlation(stats.rankdata(guess), stats.rankdata(true))) if ranked else None,
        rho_low=low,
        rho_high=high,
        pearson=float(_correlation(guess, true)) if ranked else None,
        mse=float(((guess - true) ** 2).mean()),
        mean=float(guess.mean()),
        std=std,
        true_mean=float(true.mean()),
        true_std=true_std,
        ratio=std / true_std if true_std > 0 else None,
        ks=float(stats.ks_2samp(guess, true, method="asymp").statistic),
    )


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Pearson's correlation along the last axis."""
    a = a - a.mean(-1, keepdims=True)
    b = b - b.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: NDArray[np.float64] = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return result


def _interval(guess: Values, true: Values, seed: int, resamples: int) -> tuple[float | None, float | None]:
    """Percentiles 2.5 and 97.5 of rho over resampled pictures; resamples without spread are left out."""
    rank = need("scipy.stats").rankdata
    rng = np.random.default_rng(seed)
    found: list[NDArray[np.float64]] = []
    step = max(1, _AT_ONCE // guess.size)
    for start in range(0, resamples, step):
        places = rng.integers(0, guess.size, (min(step, resamples - start), guess.size))
        found.append(_correlation(rank(guess[places], axis=1), rank(true[places], axis=1)))
    rhos = np.concatenate(found)
    rhos = rhos[np.isfinite(rhos)]
    if not rhos.size:
        return None, None
    low, high = np.percentile(rhos, [2.5, 97.5])
    return float(low), float(high)


def classification(predicted: Any, truth: Any) -> Classification:
    """Compare class scores (N, K) with classes (N,) of 0 to K - 1. Raises Refused for other shapes or classes."""
    scores, true = np.asarray(predicted), np.asarray(truth)
    if scores.ndim != 2 or true.shape != scores.shape[:1] or not len(true):
        raise Refused("evaluate", f"{scores.shape} predictions and {true.shape} truths", "(N, classes) and (N,)")
    classes = true.astype(np.int64)
    count = scores.shape[1]
    if (classes != true).any() or classes.min() < 0 or classes.max() >= count:
        low, high = true.min(), true.max()
        raise Refused("evaluate", f"labels from {low:g} to {high:g} for {count} outputs", "whole numbers from 0")
    best = scores.argmax(1)
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (classes, best), 1)
    correct = int((best == classes).sum())
    # As Caffe's Accuracy layer counts: the true class is among the k best if fewer than k score higher.
    higher = (scores > scores[np.arange(len(classes)), classes][:, None]).sum(1)
    top5 = float((higher < 5).mean()) if count > 5 else None
    table = tuple(tuple(int(value) for value in row) for row in confusion) if count <= 100 else ()
    return Classification(len(classes), correct, correct / len(classes), top5, table)

"""Comparing two arrays, as pure data: how many differ beyond what is allowed, by how much, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np

#: Allowed difference as a share of the blob's largest golden magnitude.
FORWARD = 1e-5
GRADIENT = 1e-4
#: In chain, so many times the port's own float32 rounding noise at that blob are allowed as well.
NOISE_FACTOR = 10.0
#: But not, forward, where that is more than this share of the blob's scale: such noise is no rounding.
NOISE_MOST = 1e-2
#: Values below this share of the blob's scale tell nothing by their relative difference.
TELLING = 1e-3
#: The histogram's bins: the difference as a share of the blob's scale, by halves of a power of ten from 1e-10 to 10.
#: Bin 0 counts values that are equal, the last one what is larger still or no number.
DECADES = tuple(np.arange(-10, 1.01, 0.5).tolist())


class Labels(TypedDict):
    """What is compared, for `compare`."""

    layer: str
    what: str
    mode: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One array of the port beside Caffe's.

    Attributes:
        layer, what: the layer's name, and what of it: ``top 'conv1'``, ``gradient of blob 0``.
        mode: ``alone`` (fed Caffe's own bottoms) or ``chain`` (fed by the port's own layers).
        gradient: whether this is a gradient.
        count, beyond: how many values there are, and how many lie beyond `allowed`.
        odd: how many values are NaN or infinite, and the same, on both sides.
        worst: the largest difference; `index`, `got`, `want`: where it is, and both values.
        relative: the largest difference as a share of Caffe's value, of values that are no less than `TELLING` of the
            scale; `relative_index`, `relative_got`, `relative_want` as above.
        mean: the mean difference; cosine: of the angle between both arrays (None where one is all zeros or not finite).
        allowed: the largest difference that passes; scale: the golden's largest magnitude.
        noise: the port's float32 against its float64 run (None where it was not measured).
        histogram: how many values differ by how much, in the bins of `DECADES`.
        problem: why the two could not be compared at all (other shape, missing), empty otherwise.
    """

    layer: str
    what: str
    mode: str
    gradient: bool = False
    count: int = 0
    beyond: int = 0
    odd: int = 0
    worst: float = 0.0
    index: tuple[int, ...] = ()
    got: float = 0.0
    want: float = 0.0
    relative: float = 0.0
    relative_index: tuple[int, ...] = ()
    relative_got: float = 0.0
    relative_want: float = 0.0
    mean: float = 0.0
    cosine: float | None = None
    allowed: float = 0.0
    scale: float = 0.0
    noise: float | None = None
    histogram: tuple[int, ...] = ()
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether every value lies within what is allowed."""
        return not self.problem and self.beyond == 0

    @property
    def ulps(self) -> float:
        """The worst difference in float32 units in the last place of the blob's scale."""
        # The largest float32 has no next one: its unit is that of the numbers just below.
        return self.worst / float(np.spacing(np.float32(min(self.scale, 2.0**127)))) if self.scale else 0.0

    @property
    def of_noise(self) -> float | None:
        """The worst difference as a multiple of the port's own rounding noise; None where that is unknown or zero."""
        return self.worst / self.noise if self.noise else None

    @property
    def share(self) -> float:
        """The worst difference as a share of what is allowed: above 1 fails."""
        if self.problem:
            return float("inf")
        return self.worst / self.allowed if self.allowed else float("inf") if self.worst else 0.0

    def __str__(self) -> str:
        place = f"{self.layer} {self.what} {self.mode}"
        if self.problem:
            return f"{place}: {self.problem}"
        if self.passed:
            return f"{place}: {self.worst:.2e} of {self.allowed:.2e} allowed"
        return (
            f"{place}: {self.beyond} of {self.count} values beyond {self.allowed:.2e}; "
            f"worst at {list(self.index)}: {self.got:.9g}, Caffe has {self.want:.9g}"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain types for a report; non-finite numbers as text, which JSON lacks."""
        derived = {"passed": self.passed, "ulps": self.ulps, "of_noise": self.of_noise, "share": self.share}
        return {key: plain(value) for key, value in (asdict(self) | derived).items()}


def plain(value: Any) -> Any:
    """A value that JSON can hold: tuples as lists, non-finite numbers as text."""
    if isinstance(value, tuple):
        return list(value)
    return repr(value) if isinstance(value, float) and not np.isfinite(value) else value


def compare(
    got: np.ndarray,
    want: np.ndarray,
    *,
    layer: str,
    what: str,
    mode: str,
    gradient: bool = False,
    noise: float | None = None,
    scale: float | None = None,
    oracle: str = "Caffe",
) -> Comparison:
    """Compare the port's array with Caffe's, any shape; NaN passes only where both have it.

    Args:
        got, want: the port's and Caffe's array.
        layer, what, mode, gradient: see `Comparison`.
        noise: largest |float32 - float64| of the port at this blob; allowed `NOISE_FACTOR` times in chain.
        scale: the blob's largest finite magnitude, where `want` is only a sample of it.
        oracle: whose array `want` is, for messages.
    """
    if got.shape != want.shape:
        problem = f"shape is {got.shape}, {oracle} has {want.shape}"
        return Comparison(layer, what, mode, gradient, noise=noise, problem=problem)
    if want.size == 0:
        return Comparison(layer, what, mode, gradient, noise=noise)
    a, b = got.astype(np.float64), want.astype(np.float64)
    scale = magnitude(b) if scale is None else scale
    allowed = _allowed(scale, mode, gradient, noise)
    about: Labels = {"layer": layer, "what": what, "mode": mode}
    return Comparison(
        **about, gradient=gradient, allowed=allowed, scale=scale, noise=noise, **_measured(a, b, allowed, scale)
    )


def _measured(a: np.ndarray, b: np.ndarray, allowed: float, scale: float) -> dict[str, Any]:
    """The numbers of a `Comparison` of two float64 arrays of one shape that is not empty."""
    difference = distance(a, b)
    place = _largest(difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(np.abs(b) >= max(scale * TELLING, 1e-300), difference / np.abs(b), 0.0)
    odd = _largest(np.where(np.isnan(relative), np.inf, relative))
    return {
        "count": int(b.size),
        "beyond": int((difference > allowed).sum()),
        "odd": int((~np.isfinite(b) & (difference == 0)).sum()),
        "worst": float(difference[place]),
        "index": place,
        "got": float(a[place]),
        "want": float(b[place]),
        "relative": float(relative[odd]),
        "relative_index": odd,
        "relative_got": float(a[odd]),
        "relative_want": float(b[odd]),
        "mean": float(difference.mean()),
        "cosine": _cosine(a, b),
        "histogram": _histogram(difference, scale),
    }


def magnitude(array: np.ndarray) -> float:
    """The largest finite magnitude in an array; 0 where there is none."""
    return float(np.abs(array[np.isfinite(array)], dtype=np.float64).max(initial=0.0))


def _allowed(scale: float, mode: str, gradient: bool, noise: float | None) -> float:
    """The largest difference that passes, for a blob of this scale."""
    rounding = NOISE_FACTOR * noise if mode == "chain" and noise is not None else 0.0
    # A gradient may be nothing but rounding (of a bias that BatchNorm takes away again), in Caffe as well.
    if gradient:
        return max(scale * GRADIENT, rounding)
    return max(scale * FORWARD, rounding if rounding <= scale * NOISE_MOST else 0.0)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| of float64 arrays; 0 where both are NaN or the same infinity, inf where only one is."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(a - b)
        odd = ~np.isfinite(difference)
        if odd.any():
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            difference[odd] = np.where(same[odd], 0.0, np.inf)
    return np.asarray(difference)


def _largest(difference: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))


def _cosine(a: np.ndarray, b: np.ndarray) -> float | None:
    x, y = a.ravel(), b.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        # einsum and not BLAS, whose threads cost more here than they bring.
        xx, yy, xy = (float(np.einsum("i,i->", *pair)) for pair in ((x, x), (y, y), (x, y)))
        length = float(np.sqrt(xx) * np.sqrt(yy))
    return xy / length if length and np.isfinite(length) and np.isfinite(xy) else None


def _histogram(difference: np.ndarray, scale: float) -> tuple[int, ...]:
    """Counts by the bins of `DECADES`; a bin's lower edge belongs to it."""
    flat = difference.ravel()
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = (np.log10(flat / (scale or 1.0)) - DECADES[0]) / (DECADES[1] - DECADES[0])
    last = len(DECADES) + 1
    bins = np.clip(np.nan_to_num(np.floor(steps), nan=last, posinf=last, neginf=-1), -1, last - 2).astype(np.int64) + 2
    counts = np.bincount(np.where(flat == 0, 0, bins), minlength=last + 1)
    return tuple(int(n) for n in counts)


def largest(rough: np.ndarray, exact: np.ndarray) -> float:
    """Largest finite |rough - exact|; 0 where rounding changed how many rows there are."""
    if rough.shape != exact.shape:
        return 0.0
    difference = distance(rough.astype(np.float64), exact.astype(np.float64))
    return float(difference[np.isfinite(difference)].max(initial=0.0))


def spread(array: np.ndarray, number: int) -> np.ndarray:
    """So many values of the flat array, evenly spread from first to last."""
    values: np.ndarray = array.ravel()[np.linspace(0, array.size - 1, number).astype(int)]
    return values

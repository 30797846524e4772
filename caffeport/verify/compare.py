"""Comparing two arrays, as pure data: how many differ beyond what is allowed, by how much, and where."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

#: Allowed difference as a share of the blob's largest golden magnitude.
FORWARD = 1e-5
GRADIENT = 1e-4
#: In chain, so many times the port's own float32 rounding noise at that blob are allowed as well.
NOISE_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One array of the port beside Caffe's.

    Attributes:
        layer, what: the layer's name, and what of it: ``top 0 'conv1'``, ``d weight 0``, ``d input 'data'``.
        mode: ``alone`` (fed Caffe's own bottoms) or ``chain`` (fed by the port's own layers).
        gradient: whether this is a gradient.
        count, beyond: how many values there are, and how many lie beyond `allowed`.
        worst: the largest difference; `index`, `got`, `want`: where it is, and both values.
        allowed: the largest difference that passes; scale: the golden's largest magnitude.
        noise: the port's float32 against its float64 run (None where it was not measured).
        problem: why the two could not be compared at all (other shape, missing), empty otherwise.
    """

    layer: str
    what: str
    mode: str
    gradient: bool
    count: int = 0
    beyond: int = 0
    worst: float = 0.0
    index: tuple[int, ...] = ()
    got: float = 0.0
    want: float = 0.0
    allowed: float = 0.0
    scale: float = 0.0
    noise: float | None = None
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether every value lies within what is allowed."""
        return not self.problem and self.beyond == 0

    @property
    def ulps(self) -> float:
        """The worst difference in float32 units in the last place of the blob's scale."""
        return self.worst / float(np.spacing(np.float32(self.scale))) if self.scale else 0.0

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
        plain = asdict(self) | {"passed": self.passed, "index": list(self.index)}
        return {key: repr(v) if isinstance(v, float) and not np.isfinite(v) else v for key, v in plain.items()}


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
) -> Comparison:
    """Compare the port's array with Caffe's, any shape; NaN passes only where both have it.

    Args:
        got, want: the port's and Caffe's array.
        layer, what, mode, gradient: see `Comparison`.
        noise: largest |float32 - float64| of the port at this blob; allowed `NOISE_FACTOR` times in chain.
        scale: the blob's largest magnitude, where `want` is only a sample of it.
    """
    same = {"layer": layer, "what": what, "mode": mode, "gradient": gradient, "noise": noise}
    if got.shape != want.shape:
        return Comparison(**same, problem=f"shape is {got.shape}, Caffe has {want.shape}")
    if want.size == 0:
        return Comparison(**same)
    a, b = got.astype(np.float64), want.astype(np.float64)
    finite = np.abs(b[np.isfinite(b)])
    scale = float(finite.max(initial=0.0)) if scale is None else scale
    allowed = scale * (GRADIENT if gradient else FORWARD)
    if mode == "chain" and noise is not None:
        allowed = max(allowed, NOISE_FACTOR * noise)
    with np.errstate(invalid="ignore", over="ignore"):
        equal = (a == b) | (np.isnan(a) & np.isnan(b))
        difference = np.where(equal, 0.0, np.abs(a - b))
    # A difference that is no number (NaN on one side, inf against a number) is beyond everything.
    difference = np.where(np.isnan(difference), np.inf, difference)
    flat = int(difference.argmax())
    index = tuple(int(i) for i in np.unravel_index(flat, difference.shape))
    return Comparison(
        **same,
        count=int(want.size),
        beyond=int((difference > allowed).sum()),
        worst=float(difference[index]),
        index=index,
        got=float(a[index]),
        want=float(b[index]),
        allowed=allowed,
        scale=scale,
    )

"""Whether what a preprocessing gives is what a net reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffeport.errors import Refused

if TYPE_CHECKING:
    from caffeport.transform.preprocessing import Preprocessing


def misfit(prep: Preprocessing, wanted: Sequence[int | None], where: str) -> Refused | None:
    """The refusal of a net whose input (C, H, W; None is free) is not what `prep` gives; None where the two fit."""
    given = ({"color": 3, "gray": 1}.get(prep.colour), *(prep.input_size or (None, None)))
    if len(wanted) == 3 and not any(a and b and a != b for a, b in zip(wanted, given, strict=True)):
        return None
    return Refused(
        where,
        f"the preprocessing gives {sides(given)} and the net reads {sides(wanted)}",
        "the two must be equal",
        "set --resize, --crop or --colour",
    )


def sides(shape: Sequence[int | None]) -> str:
    """A shape for a message: 3 x 227 x ?."""
    return " x ".join("?" if side is None else str(side) for side in shape)

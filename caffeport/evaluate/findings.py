"""What the numbers say, in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from caffeport.evaluate.metrics import Agreement
    from caffeport.transform.preprocessing import Preprocessing

NARROW: Final = 1 / 3
"""Below this share of the truth's spread a model is said to regress to the mean."""

COLLAPSED: Final = 1 / 20
"""Below this, inputs of a wrong scale are the next suspect."""

UNIT_MEAN: Final = 1.5
"""A mean above this was taken from pixels of 0 to 255, one below it from pixels of 0 to 1."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the net was fed, over the first pictures: mean, standard deviation, least and greatest value."""

    mean: float
    std: float
    low: float
    high: float


def judge(found: Agreement, prep: Preprocessing | None = None, inputs: Inputs | None = None) -> tuple[str, ...]:
    """Sentences about the distribution of the predictions, worst first; none where nothing is remarkable."""
    said = list(_scale(prep, inputs)) if prep is not None else []
    mis_scaled = bool(said)
    said += _spread(found, prep, inputs, mis_scaled)
    if found.true_std > 0 and found.std > 0:
        away = (found.mean - found.true_mean) / found.true_std
        if abs(away) > 1:
            side = "above" if away > 0 else "below"
            said.append(
                f"The predictions lie {abs(away):.1f} standard deviations {side} the truth (mean {found.mean:.4g} "
                f"against {found.true_mean:.4g}): an output map or a scale may be missing."
            )
    if found.rho_high is not None and found.rho_high < 0:
        said.append(f"The ranks are reversed (rho {found.rho:.3f}): the truth may be a score of the opposite.")
    return tuple(said)


def _spread(found: Agreement, prep: Preprocessing | None, inputs: Inputs | None, mis_scaled: bool) -> list[str]:
    if found.ratio is None:
        return ["The truth is constant: there is nothing to rank."]
    against = f"standard deviation {found.std:.3g} against {found.true_std:.3g}"
    if found.std == 0:
        return [f"All predictions are equal ({found.mean:.6g}): the model says nothing about these pictures."]
    if found.ratio > 1 / NARROW:
        return [f"The predictions spread {found.ratio:.3g} times wider than the truth ({against})."]
    if found.ratio >= NARROW:
        return []
    said = [
        f"The model regresses to the mean: its predictions spread {1 / found.ratio:.3g} times narrower than the truth "
        f"({against})." + _still(found)
    ]
    if found.ratio < COLLAPSED and not mis_scaled:
        said.append(_suspect(prep, inputs))
    return said


def _still(found: Agreement) -> str:
    """A narrow model may rank well; its loss is then that of a constant."""
    share = found.mse / found.true_std**2
    rank = "" if found.rho is None else f" Its ranks may be good all the same (rho {found.rho:.3f});"
    return f"{rank} its squared error is {share:.2f} times that of always saying the true mean."


def _suspect(prep: Preprocessing | None, inputs: Inputs | None) -> str:
    fed = "" if inputs is None else f" (they run from {inputs.low:.4g} to {inputs.high:.4g}, std {inputs.std:.3g})"
    said = f"A spread this narrow is also what inputs of a wrong scale give{fed}: "
    if prep is not None and prep.value_range * abs(prep.raw_scale * prep.scale) <= 1:
        return said + "pixels reach the net as 0 to 1; a net that was trained on 0 to 255 needs raw_scale 255."
    return said + "check raw_scale, scale and mean against how the model was trained."


def _scale(prep: Preprocessing, inputs: Inputs | None) -> list[str]:
    """Whether pixels and mean are of one scale."""
    means = prep.mean.values() if prep.mean is not None else prep.mean_values
    span, largest = prep.value_range * abs(prep.raw_scale), max((abs(value) for value in means), default=0.0)
    fed = "" if inputs is None else f"; the inputs run from {inputs.low:.4g} to {inputs.high:.4g}"
    if span <= 1 and largest > UNIT_MEAN:
        return [
            f"The inputs look mis-scaled: pixels of 0 to {span:.3g} less a mean of {largest:.4g}{fed}. "
            "raw_scale 255 is missing, or the mean belongs to pixels of 0 to 1."
        ]
    if span >= 255 and 0 < largest < UNIT_MEAN:
        return [
            f"The inputs look mis-scaled: pixels of 0 to {span:.4g} less a mean of {largest:.3g}{fed}. "
            "The mean belongs to pixels of 0 to 1."
        ]
    return []


def inputs_of(arrays: Any) -> Inputs:
    """The numbers over some inputs."""
    import numpy as np

    values = np.asarray(arrays, np.float64)
    return Inputs(float(values.mean()), float(values.std()), float(values.min()), float(values.max()))

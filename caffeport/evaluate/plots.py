"""The plots of an evaluation: distributions over each other, scatter and ranks, calibration; confusion of classes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from caffeport.transform.needs import need

if TYPE_CHECKING:
    from caffeport.evaluate.run import Evaluation, View

FORMATS: Final = ("png", "svg")


class Palette(NamedTuple):
    """Colours that colour-blind readers tell apart (after Okabe and Ito), on light or dark paper."""

    paper: str
    ink: str
    truth: str
    views: tuple[str, str]
    shares: str


LIGHT: Final = Palette("#ffffff", "#1c2430", "#4d4d4d", ("#0072b2", "#d55e00"), "Blues")
DARK: Final = Palette("#1a2029", "#e6eaf0", "#b4bdca", ("#56b4e9", "#f0a050"), "cividis")
_INKED: Final = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_PAPER: Final = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")

_STYLE: Final = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "path",
    "savefig.dpi": 150,
}
_SALT: Final = "caffeport"
"""Makes the ids in an SVG the same in every run."""

Plots = Mapping[str, Mapping[str, bytes]]


def draw(found: Evaluation, palette: Palette = LIGHT, formats: Sequence[str] = FORMATS) -> dict[str, dict[str, bytes]]:
    """Every plot by name and format. Raises Refused where matplotlib is missing."""
    matplotlib = need("matplotlib")
    colours = dict.fromkeys(_INKED, palette.ink) | dict.fromkeys(_PAPER, palette.paper)
    with matplotlib.rc_context({**_STYLE, **colours, "svg.hashsalt": _SALT}):
        if found.views[0].agreement is None:
            figures = {f"confusion-{_word(view.name)}": _confusion(view, palette) for view in found.views}
        else:
            figures = {"distributions": _distributions(found, palette)}
            pairs = zip(found.views, palette.views, strict=False)
            figures |= {f"scatter-{_word(view.name)}": _scatter(found, view, colour) for view, colour in pairs}
            figures["calibration"] = _calibration(found, palette)
        return {name: _saved(figure, formats) for name, figure in figures.items()}


def _word(name: str) -> str:
    return name.replace(" ", "-")


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """A figure without pyplot, which would look for a display and keep every figure alive."""
    figure = need("matplotlib.figure").Figure(figsize=(width, height))
    return figure, figure.subplots(1, columns)


def _saved(figure: Any, formats: Sequence[str]) -> dict[str, bytes]:
    made = {}
    for kind in formats:
        into = io.BytesIO()
        figure.savefig(into, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
        made[kind] = into.getvalue()
    return made


def _distributions(found: Evaluation, palette: Palette) -> Any:
    """All distributions on one axis, so that a narrow one is seen at a glance; counts, for densities would hide it."""
    figure, axes = _figure(7, 3.2)
    every = [found.truth, *(view.predicted for view in found.views)]
    low, high = min(float(one.min()) for one in every), max(float(one.max()) for one in every)
    bins = np.linspace(low, high if high > low else low + 1, 61)
    axes.hist(found.truth, bins, color=palette.truth, alpha=0.35, label=f"truth: {_about(found.truth)}")
    for view, colour in zip(found.views, palette.views, strict=False):
        label = f"{view.name}: {_about(view.predicted)}"
        axes.hist(view.predicted, bins, histtype="step", color=colour, linewidth=1.4, label=label)
    axes.set(xlabel="score", ylabel="pictures")
    axes.legend(frameon=False)
    return figure


def _about(values: Any) -> str:
    return f"mean {values.mean():.4g}, std {values.std():.3g}"


def _scatter(found: Evaluation, view: View, colour: str) -> Any:
    """Scores and ranks, beside each other."""
    rank = need("scipy.stats").rankdata
    figure, (left, right) = _figure(7, 3.4, 2)
    count = len(found.truth)
    style = {"s": 14 if count < 300 else 4, "alpha": 0.8 if count < 300 else 0.35, "linewidths": 0, "rasterized": True}
    left.scatter(found.truth, view.predicted, color=colour, **style)
    left.set(xlabel="truth", ylabel="predicted", title="scores")
    right.scatter(rank(found.truth), rank(view.predicted), color=colour, **style)
    rho = view.agreement.rho if view.agreement else None
    right.set(xlabel="rank of the truth", ylabel="rank of the prediction")
    right.set_title("ranks" + ("" if rho is None else f", rho {rho:.3f}"))
    return figure


def _calibration(found: Evaluation, palette: Palette) -> Any:
    """The mean truth of each tenth of the pictures, ordered by prediction, beside the mean prediction there."""
    figure, axes = _figure(7, 3.6)
    for view, colour in zip(found.views, palette.views, strict=False):
        parts = np.array_split(np.argsort(view.predicted, kind="stable"), min(10, len(found.truth)))
        guess = [float(view.predicted[part].mean()) for part in parts]
        axes.plot(guess, [float(found.truth[part].mean()) for part in parts], "o-", color=colour, label=view.name)
    low, high = float(found.truth.min()), float(found.truth.max())
    axes.plot([low, high], [low, high], color=palette.truth, linewidth=0.8, linestyle="--", label="equal")
    axes.set(xlabel="predicted (mean of a tenth)", ylabel="truth (mean of that tenth)")
    axes.legend(frameon=False)
    return figure


def _confusion(view: View, palette: Palette) -> Any:
    """How often each true class (rows) was taken for each class (columns)."""
    table = np.asarray(view.classification.confusion if view.classification else ())
    figure, axes = _figure(4.6, 4.2)
    if not table.size:
        axes.text(0.5, 0.5, "more than 100 classes", ha="center")
        axes.set_axis_off()
        return figure
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap=palette.shares, vmin=0, vmax=1)
    for row, column in np.argwhere(table > 0) if len(table) <= 20 else ():
        light = (share[row, column] > 0.5) == (palette is LIGHT)  # Blues darkens with the share, cividis brightens
        colour = "white" if light else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color=colour, fontsize=6)
    axes.set(xlabel="predicted class", ylabel="true class")
    return figure

"""`evaluate`: predict for a data set, and compare with its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from caffeport.data.source import Source
from caffeport.errors import CaffeportError, Refused
from caffeport.evaluate.findings import Inputs, inputs_of, judge
from caffeport.evaluate.metrics import RESAMPLES, Agreement, Classification, agreement, classification
from caffeport.transform.preprocessing import Crop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffeport.artefacts.recipe import Recipe
    from caffeport.predict import Prediction, Predictor
    from caffeport.transform.preprocessing import Preprocessing
    from caffeport.transform.profiles import OutputMap

CENTRE: Final = 4
"""The place of the centre crop among the ten."""

PROBED: Final = 16
"""Pictures whose inputs are looked at for their scale."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One way to read the predictions: by the centre crop, by the mean of ten; with its numbers and findings."""

    name: str
    predicted: NDArray[np.float64]
    agreement: Agreement | None = None
    classification: Classification | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All there is to say about a model on a data set; `broken` are (name, reason)."""

    model: str
    data: str
    names: tuple[str, ...]
    truth: NDArray[np.float64]
    views: tuple[View, ...]
    broken: tuple[tuple[str, str], ...] = ()
    unlabelled: int = 0
    inputs: Inputs | None = None
    recipe: str = ""

    def as_json(self) -> dict[str, Any]:
        """The numbers and findings as plain data."""
        views = {}
        for view in self.views:
            numbers = view.agreement or view.classification
            views[view.name] = {**(numbers.as_json() if numbers else {}), "findings": list(view.findings)}
        broken = [{"name": name, "reason": reason} for name, reason in self.broken]
        return {
            "model": self.model, "data": self.data, "views": views, "broken": broken, "unlabelled": self.unlabelled,
            "preprocessing": self.recipe.splitlines(),
        }  # fmt: skip


@dataclass(slots=True, eq=False)
class _Met:
    """The predictions so far, sorted into what is compared, broken, and without a label."""

    names: list[str] = field(default_factory=list)
    truth: list[float] = field(default_factory=list)
    rows: list[NDArray[np.float32]] = field(default_factory=list)
    broken: list[tuple[str, str]] = field(default_factory=list)
    unlabelled: int = 0

    def add(self, one: Prediction, where: str) -> None:
        if one.error:
            self.broken.append((one.key, one.error))
        elif one.label is None:
            self.unlabelled += 1
        else:
            self.names.append(one.key)
            self.truth.append(_label(one))
            self.rows.append(_values(one, where))


def with_ten_crops(recipe: Recipe) -> Recipe:
    """The recipe with ten crops where its resize leaves room for them; else as it is."""
    prep = recipe.preprocessing.still()
    crop, size = prep.crop, prep.resize
    if crop is None or size is None or prep.mirror != "never" or crop.mode == "ten":
        return recipe
    if (crop.height, crop.width) == (size.height, size.width):
        return recipe
    return replace(recipe, preprocessing=replace(prep, crop=Crop(crop.height, crop.width, "ten", crop.centre)))


def evaluate(
    predictor: Predictor,
    source: Source,
    output: OutputMap | None = None,
    batch: int = 0,
    workers: int = 0,
    resamples: int = RESAMPLES,
    see: Callable[[Prediction], None] | None = None,
) -> Evaluation:
    """Predict for every item with a label and compare.

    A net with one output value is compared as a score; one with more as a classifier. With ten crops, the centre crop
    alone is a view of its own. `see` is shown every prediction as it comes.

    Raises:
        Refused: no labels, labels of several values, a net with several outputs, nothing that could be predicted.
    """
    _check_labels(source)
    met = _Met()
    for one in predictor.predict(source, batch=batch, workers=workers):
        if see is not None:
            see(one)
        met.add(one, predictor.where)
    if not met.rows:
        told = f"; the first: {met.broken[0][1]}" if met.broken else ""
        counts = f"({len(met.broken)} broken, {met.unlabelled} without)"
        raise Refused(source.name, f"gives no picture with a label {counts}{told}")
    prep, true = predictor.prep, np.asarray(met.truth)
    inputs = probe(source, prep)
    crops = np.stack(met.rows).astype(np.float64)
    views = tuple(_view(name, values, true, output, resamples, prep, inputs) for name, values in _views(crops, prep))
    return Evaluation(
        predictor.where,
        source.name,
        tuple(met.names),
        true,
        views,
        tuple(met.broken),
        met.unlabelled,
        inputs,
        str(predictor.recipe),
    )


def evaluate_table(
    where: str, rows: Iterable[Mapping[str, Any]], source: Source, resamples: int = RESAMPLES
) -> Evaluation:
    """Compare scores of a table (columns 'name' and 'score') with a source's labels, by name.

    Raises Refused where names do not match or there is no score.
    """
    scores = {str(row["name"]): row.get("score") for row in rows}
    labels = dict(zip(source.keys, source.labels(), strict=True))
    names = [name for name in labels if name in scores and isinstance(labels[name], (int, float))]
    if not names:
        first, other = next(iter(scores), ""), next(iter(labels), "")
        raise Refused(where, f"shares no names with {source.name}", f"here {first!r}, there {other!r}")
    values = [scores[name] for name in names]
    if not all(isinstance(value, (int, float)) for value in values):
        raise Refused(where, "has no number in its column 'score' for some pictures", "one score a picture")
    true = np.asarray([labels[name] for name in names], np.float64)
    view = _view("table", np.asarray(values, np.float64)[:, None], true, None, resamples, None, None)
    missing = tuple((name, f"{where}: has no row for it") for name in labels if name not in scores)
    return Evaluation(where, source.name, tuple(names), true, (view,), missing)


def _check_labels(source: Source) -> None:
    """Raise Refused where there is nothing to compare with: known before the pictures are predicted."""
    try:
        labels = source.labels()
    except CaffeportError:
        return  # broken items are told one by one
    if labels and all(label is None for label in labels):
        what = f"gives no picture with a label ({len(labels)} without)"
        raise Refused(source.name, what, "each picture with a score or class", "give the data set's table or list")


def _label(one: Prediction) -> float:
    label = one.label
    if isinstance(label, tuple):
        raise Refused(one.key, f"has {len(label)} labels", "one score or class a picture is compared")
    return float(label if label is not None else np.nan)


def _values(one: Prediction, where: str) -> NDArray[np.float32]:
    """(crops, values) of the only output."""
    if len(one.outputs) != 1:
        raise Refused(where, f"gives {', '.join(one.outputs)}", "one output is compared", "choose one with --blob")
    (array,) = one.outputs.values()
    return array.reshape(len(array), -1)


def _views(crops: NDArray[np.float64], prep: Preprocessing) -> list[tuple[str, NDArray[np.float64]]]:
    """(N, crops, values) as the ways to read it."""
    if crops.shape[1] != 10:
        return [("single crop" if prep.crop is not None else "whole picture", crops.mean(1))]
    return [("single crop", crops[:, CENTRE]), ("ten crops", crops.mean(1))]


def _view(
    name: str,
    values: NDArray[np.float64],
    truth: NDArray[np.float64],
    output: OutputMap | None,
    resamples: int,
    prep: Preprocessing | None,
    inputs: Inputs | None,
) -> View:
    if values.shape[1] > 1:
        return View(name, values, classification=classification(values, truth))
    scores = np.asarray(values[:, 0] if output is None else output(values[:, 0]), np.float64)
    found = agreement(scores, truth, resamples=resamples)
    return View(name, scores, found, None, judge(found, prep, inputs))


def probe(source: Source, prep: Preprocessing) -> Inputs | None:
    """What the net is fed for the first few pictures; None where none of them can be read."""
    arrays = []
    for place in range(min(PROBED, len(source))):
        try:
            arrays.append(source[place].inputs(prep).reshape(-1))
        except CaffeportError:
            continue  # broken pictures are told elsewhere
    return inputs_of(np.concatenate(arrays)) if arrays else None

"""`Predictor`: a model with its preprocessing; pictures in, the net's outputs out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from caffeport.data.packed import PackedPictures
from caffeport.data.source import Item, Label, Source
from caffeport.errors import Refused
from caffeport.predict.decoding import DECODED, INPUTS, Decoded, Work, decode
from caffeport.predict.models import Arrays, Model, open_model
from caffeport.transform.apply import load, mean_is_of_crop, mean_of, plan_cuts
from caffeport.transform.fit import misfit, sides

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffeport.artefacts.recipe import Recipe
    from caffeport.transform.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What became of one picture: by blob, an array of (crops, ...); or what is wrong with it."""

    index: int
    key: str
    label: Label
    outputs: Arrays = field(default_factory=dict)
    error: str = ""

    def mean(self, blob: str) -> NDArray[np.float32]:
        """The mean over the crops."""
        found: NDArray[np.float32] = self.outputs[blob].mean(0, dtype=np.float32)
        return found


class Predictor:
    """A model and how pictures become its inputs. Make one with `open_predictor`."""

    def __init__(self, model: Model, recipe: Recipe, where: str = "model") -> None:
        """Raises Refused where preprocessing and model do not fit together."""
        self.model, self.recipe, self.where = model, recipe, where
        self.prep: Preprocessing = recipe.preprocessing.still()
        self._check()

    @property
    def crops(self) -> int:
        """How many inputs one picture becomes."""
        return self.prep.crops

    def _check(self) -> None:
        problem = None if self.model.layout else misfit(self.prep, self.model.shape[1:], self.where)
        if problem is not None:
            raise problem

    def __call__(self, picture: Any) -> Arrays:
        """The outputs for one picture, (crops, ...) each: a path, encoded bytes, or an array (H, W[, C]), BGR.

        Raises UnreadableFile, Refused.
        """
        array = load(self.prep, picture)
        single = _One(Item("picture", array, None, "<picture>"))
        found = next(self.predict(single))
        if found.error:
            raise Refused("<picture>", found.error)
        return found.outputs

    def predict(
        self, source: Source, places: Sequence[int] | None = None, batch: int = 0, workers: int = 0
    ) -> Iterator[Prediction]:
        """Predictions for a source's items, in order; broken ones carry their error.

        Args:
            source: pictures.
            places: which of them; all unless given.
            batch: inputs per run of the model (ten crops are ten inputs); 0 chooses by the input's size and the device.
            workers: processes that decode; 0 decodes in this one.
        """
        check_packs(source, self.prep)
        work = Work(source, self.prep, bool(self.model.layout))
        group: list[Decoded] = []
        most = 1 if self.model.layout == "hwc" else max(1, (batch or self._batch()) // self.crops)
        for one in decode(work, range(len(source)) if places is None else places, workers):
            if group and (len(group) == most or _kind(one) != _kind(group[0])):
                yield from self._run(group)
                group = []
            group.append(one)
        if group:
            yield from self._run(group)

    def _batch(self) -> int:
        """About as many values a run as keep a core's caches busy, or a GPU."""
        size = prod(side or 256 for side in self.model.shape[1:])
        return int(min(1024, max(1, (1 << 26 if self.model.device == "cuda" else 16 * 3 * 227 * 227) // size)))

    def _run(self, group: list[Decoded]) -> Iterator[Prediction]:
        """Predictions for items of one kind and shape."""
        first = group[0]
        problem = first.error or self._misfit(first)
        if problem:
            for one in group:
                yield Prediction(one.index, one.key, one.label, error=one.error or f"{one.key}: {problem}")
            return
        arrays = np.stack([one.array for one in group if one.array is not None])
        if first.kind == DECODED:
            outputs, crops = self._run_pictures(arrays), self.crops
        else:
            inputs = (
                arrays.reshape(-1, *arrays.shape[2:]) if first.kind == INPUTS else self.model.prepare(self.prep, arrays)
            )
            outputs, crops = self._run_inputs(inputs), len(inputs) // len(group)
        for place, one in enumerate(group):
            own = {blob: array[place * crops : (place + 1) * crops] for blob, array in outputs.items()}
            yield Prediction(one.index, one.key, one.label, own)

    def _misfit(self, one: Decoded) -> str:
        """Why an array cannot be the net's input; empty where it can."""
        if one.array is None or one.kind == DECODED:
            return ""
        try:
            given = one.array.shape[1:]
            if one.kind != INPUTS:
                cut = plan_cuts(self.prep, *one.array.shape[:2])[0]
                given = (one.array.shape[2], cut.height, cut.width)
                mean_is_of_crop(self.prep, one.array.shape, cut)
                mean_of(self.prep, one.array.shape[2])
        except Refused as error:
            return error.what
        if len(given) != len(self.model.shape) - 1:
            return f"gives {sides(given)} and the net reads {sides(self.model.shape[1:])}"
        good = all(want is None or have == want for have, want in zip(given, self.model.shape[1:], strict=True))
        return "" if good else f"gives {sides(given)} and the net reads {sides(self.model.shape[1:])}"

    def _run_inputs(self, inputs: Any) -> Arrays:
        """Run, in slices of the model's own batch where that is fixed: the last slice is filled up with zeros."""
        fixed = self.model.shape[0]
        if fixed is None or fixed == len(inputs):
            return self._checked(self.model.run(inputs), len(inputs))
        runs = []
        for start in range(0, len(inputs), fixed):
            piece = np.asarray(inputs[start : start + fixed], np.float32)
            filled = np.zeros((fixed, *piece.shape[1:]), np.float32)
            filled[: len(piece)] = piece
            done = self._checked(self.model.run(filled), fixed)
            runs.append({blob: array[: len(piece)] for blob, array in done.items()})
        return {blob: np.concatenate([run[blob] for run in runs]) for blob in runs[0]}

    def _run_pictures(self, pictures: NDArray[np.uint8]) -> Arrays:
        """A model with the preprocessing inside reads RGB."""
        planes = np.ascontiguousarray(pictures[:, :, :, ::-1])
        fed = planes[0] if self.model.layout == "hwc" else np.ascontiguousarray(planes.transpose(0, 3, 1, 2))
        return self._checked(self.model.run(fed), len(pictures) * self.crops)

    def _checked(self, outputs: Arrays, rows: int) -> Arrays:
        for blob, array in outputs.items():
            if array.ndim == 0 or len(array) != rows:
                raise Refused(
                    self.where, f"blob {blob!r} is {sides(array.shape)} for {rows} inputs", "one row an input"
                )
        return outputs


def check_packs(source: Source, prep: Preprocessing) -> None:
    """Raise Refused where pictures were packed otherwise than `prep` wants them."""
    for part in getattr(source, "parts", (source,)):
        if isinstance(part, PackedPictures):
            part.check(prep)


class _One(Source):
    """A single item."""

    def __init__(self, item: Item) -> None:
        self.name, self.keys, self._item = item.key, (item.key,), item

    def read(self, index: int) -> Item:
        return self._item


def open_predictor(
    path: str | os.PathLike[str], recipe: Recipe | None = None, device: str = "cpu", blobs: Sequence[str] = ()
) -> Predictor:
    """A predictor out of a .pt, .onnx or .pt2.

    Args:
        path: the model.
        recipe: the preprocessing, instead of what the model carries.
        device: 'cpu', 'cuda' or 'cuda:1'.
        blobs: give out these blobs instead of the net's outputs.

    Raises:
        UnreadableFile, Refused: also where neither the model nor `recipe` says how pictures are prepared.
    """
    model = open_model(path, device, blobs)
    return predictor_of(model, recipe, os.fspath(path))


def predictor_of(model: Model, recipe: Recipe | None, where: str) -> Predictor:
    """A predictor out of an open model. Raises Refused."""
    chosen = recipe or model.recipe
    if chosen is None:
        raise Refused(
            where,
            "does not say how pictures are prepared",
            "convert it with --profile NAME to store that in it",
            "or give --profile NAME, or --resize, --crop, --mean and --scale, here",
        )
    if model.layout and recipe is not None and model.recipe is not None:
        _same_inside(model.recipe.preprocessing, recipe.preprocessing, where)
    return Predictor(model, chosen, where)


def _same_inside(inside: Preprocessing, wanted: Preprocessing, where: str) -> None:
    if inside.still().to_dict() != wanted.still().to_dict():
        raise Refused(where, "has its preprocessing inside", "other settings cannot replace it", "use a model without")


def _kind(one: Decoded) -> tuple[str, tuple[int, ...]]:
    return one.kind, () if one.array is None else one.array.shape

"""`caffeport predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from caffeport.cli import recipe
from caffeport.cli.outputs import check_file, writing
from caffeport.errors import Refused

if TYPE_CHECKING:
    from rich.console import Console

    from caffeport.predict import Prediction, Predictor
    from caffeport.predict.inputs import Several

GROUP = 64
"""Pictures whose rows are written together, unless they take longer than `SECONDS`."""

SECONDS = 1.0
"""The most work that a stopped run loses, about."""


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A table (.csv, .jsonl, .parquet); with --blob the features (.npz, .parquet). Without it, CSV on stdout.",
)
@click.option("--resume", is_flag=True, help="Keep the rows of an OUTPUT that is there, and predict the rest.")
@click.option(
    "--score", "output_map", default="raw", show_default=True, help="The model's output map, as memorability."
)
@click.option("--each-crop", is_flag=True, help="Give every crop's value too, or with --blob instead of their mean.")
@click.option("--blob", "blobs", multiple=True, metavar="NAME", help="Features: this blob. May be given several times.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:1.")
@click.option("--batch", default=0, type=click.IntRange(0), help="Inputs per run, a crop being one; 0 chooses.")
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0, 256), help="Processes that decode.")
@click.option("--root", default="", help="Where the names in lists and tables begin.")
@click.option("--picture", help="A table's column of picture names.")
@recipe.options
def command(model: Path, inputs: tuple[str, ...], output: Path | None, blobs: tuple[str, ...], **options: Any) -> None:
    """Predict with MODEL (.pt, .onnx or .pt2) for pictures.

    INPUTS are picture files, folders, globs, lists (.txt), tables (.csv), LMDBs, packs, or - for names on stdin. How
    pictures are prepared comes from the model; options replace single settings. Broken pictures are listed at the end,
    with their reason, and the exit code is then 1.
    """
    from caffeport.cli.tables import console, counted
    from caffeport.predict import open_inputs
    from caffeport.predict.models import open_model
    from caffeport.predict.predictor import predictor_of

    progress = console(stderr=True)
    _check_output(output, blobs, options["resume"])
    opened = open_model(model, options["device"], blobs)
    predictor = predictor_of(opened, recipe.chosen(options, opened.recipe), str(model))
    mapped = predictor.recipe.output(options["output_map"])
    pictures = open_inputs(inputs, options["root"], options["picture"])
    if pictures.doubles:
        progress.print(f"{pictures.doubles} names were given twice, and count once", markup=False)
    keep = _sink(output, predictor, blobs, mapped, options)
    _check_again(keep, predictor, pictures)
    broken: list[Prediction] = []
    done = False
    with writing(output or "stdout", keep.todo):
        try:
            for found in _groups(predictor, pictures, keep.known, options, progress):
                broken += [one for one in found if one.error]
                keep.add([one for one in found if not one.error])
            done = True
        except KeyboardInterrupt:
            if keep.todo:
                progress.print(f"{output}: {len(keep.known)} of {len(pictures)} are done; {keep.todo}", markup=False)
            raise
        finally:
            keep.close(done, pictures.keys)
    if output is not None:
        progress.print(f"{output}: {counted(len(keep.known))}", markup=False)
    _tell(broken, len(pictures), progress)
    sys.exit(1 if broken else 0)


def _check_again(keep: Any, predictor: Predictor, pictures: Several) -> None:
    """Before a finished table goes on: a picture of it is predicted again. Raises Refused where the score differs."""
    place = next((place for place, key in enumerate(pictures.keys) if key in keep.finished), None)
    if place is not None:
        keep.check(next(predictor.predict(pictures, [place])))


def _groups(
    predictor: Predictor, pictures: Several, known: set[str], options: dict[str, Any], progress: Console
) -> Iterator[list[Prediction]]:
    """Predictions in groups of a batch, under a progress bar."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    places = [place for place, key in enumerate(pictures.keys) if key not in known]
    if len(places) < len(pictures):
        progress.print(f"{len(pictures) - len(places)} of {len(pictures)} are there already", markup=False)
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    group, last = list["Prediction"](), monotonic()
    with Progress(*columns, console=progress, transient=True, disable=not progress.is_terminal) as bar:
        task = bar.add_task("predicting", total=len(places))
        for found in predictor.predict(pictures, places, options["batch"], options["workers"]):
            group.append(found)
            bar.advance(task)
            if len(group) >= GROUP or monotonic() - last >= SECONDS:
                yield group
                group, last = [], monotonic()
    yield group


def _tell(broken: list[Prediction], count: int, progress: Console) -> None:
    from caffeport.cli.tables import counted

    if not broken:
        return
    progress.print(f"{len(broken)} of {counted(count)} could not be predicted:", markup=False, style="red")
    for one in broken:
        progress.print(f"  {one.error}", markup=False, soft_wrap=True)


def _check_output(output: Path | None, blobs: tuple[str, ...], resume: bool) -> None:
    """Refuse what could not be written, before the model is opened."""
    from caffeport.predict.features import check_features
    from caffeport.predict.tables import check_format

    if output is None:
        if blobs or resume:
            flag, use = ("--blob", "features go into an .npz or .parquet") if blobs else ("--resume", "of a table")
            raise Refused(flag, "is given without --output", use)
        return
    (check_features if blobs else check_format)(output)
    check_file(output)
    if output.exists() and not resume:
        raise Refused(str(output), "exists already", "", "give --resume to go on with it, or remove it")


def _sink(
    output: Path | None, predictor: Predictor, blobs: tuple[str, ...], mapped: Any, options: dict[str, Any]
) -> Any:
    """Where predictions go."""
    from caffeport.predict.sinks import FeatureSink, StreamSink, TableSink, settings_of

    if output is None:
        return StreamSink(mapped, options["each_crop"])
    settings = settings_of(predictor, blobs, mapped, options["each_crop"])
    if blobs:
        return FeatureSink(output, settings, blobs, options["each_crop"])
    return TableSink(output, settings, mapped, options["each_crop"])

"""`caffeport evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffeport.cli import dataset, recipe
from caffeport.cli.outputs import check_file, check_folder, writing

if TYPE_CHECKING:
    from rich.console import Console

    from caffeport.data import Source
    from caffeport.evaluate import Evaluation

TABLES = (".csv", ".jsonl", ".parquet")


@click.command("evaluate")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@dataset.options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A folder for page, plots and numbers.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Write a table of them: .csv, .jsonl, .parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--score", "output_map", default="raw", show_default=True, help="An output map that the model has.")
@click.option("--blob", "blobs", multiple=True, metavar="NAME", help="Compare this blob instead of the net's output.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:1.")
@click.option("--batch", default=0, type=click.IntRange(0), help="Inputs per run, a crop being one; 0 chooses.")
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0, 256), help="Processes that decode.")
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(0), help="Of the bootstrap.")
@recipe.options
def command(model: Path, data: Path, output: Path | None, as_json: bool, **options: Any) -> None:
    """Measure MODEL (.pt, .onnx, .pt2, or a table that `predict` wrote) on DATA.

    DATA is LaMem's or MemCat's folder, a table (.csv), a list with labels, an LMDB, a pack or an .h5 file. Scores are
    compared by ranks, error and distribution, classes by accuracy. Where the preprocessing leaves room for ten crops,
    the single crop and the ten are shown side by side (--crops 1 saves the time). Exit code 1: pictures are broken.
    """
    from caffeport.cli.tables import console

    progress = console(stderr=True)
    _check_outputs(model, output, options["predictions"])
    source = (dataset.labels if model.suffix.lower() in TABLES else dataset.opened)(data, options)
    found = _evaluate(model, source, options, progress)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        _print(found)
    if output is not None:
        from caffeport.evaluate.report import PAGE, write_report

        with writing(output):
            written = write_report(found, output)
        progress.print(f"{output / PAGE} and {len(written) - 1} files beside it", markup=False)
    for name, reason in found.broken:
        progress.print(f"broken: {name}: {reason}", markup=False, soft_wrap=True)
    sys.exit(1 if found.broken else 0)


def _check_outputs(model: Path, output: Path | None, predictions: Path | None) -> None:
    """Refuse, before anything is predicted, what could not be computed or written behind it."""
    from caffeport.errors import Refused
    from caffeport.predict.tables import check_format
    from caffeport.transform.needs import need

    need("scipy.stats", "evaluate")
    if output is not None:
        check_folder(output)
        need("matplotlib", str(output))
        need("jinja2", str(output))
    if predictions is not None:
        if model.suffix.lower() in TABLES:
            raise Refused("--predictions", f"is given, and {model} is a table of them already")
        check_format(predictions)
        check_file(predictions)


def _evaluate(model: Path, source: Source, options: dict[str, Any], progress: Console) -> Evaluation:
    from caffeport.evaluate import evaluate, evaluate_table
    from caffeport.predict.tables import read_table

    if model.suffix.lower() in TABLES:
        return evaluate_table(str(model), read_table(model), source, options["resamples"])
    from rich.progress import track

    from caffeport.evaluate.run import with_ten_crops
    from caffeport.predict.models import open_model
    from caffeport.predict.predictor import predictor_of
    from caffeport.predict.tables import row_of, write_table

    opened = open_model(model, options["device"], options["blobs"])
    chosen = recipe.chosen(options, opened.recipe)
    if chosen is not None and options["crops"] is None and not opened.layout:
        chosen = with_ten_crops(chosen)
    predictor = predictor_of(opened, chosen, str(model))
    mapped = predictor.recipe.output(options["output_map"])
    quiet = not progress.is_terminal
    bar = iter(track(range(len(source)), "evaluating", console=progress, transient=True, disable=quiet))
    rows = []

    def see(one: Any) -> None:
        next(bar, None)
        if options["predictions"] is not None and not one.error:
            rows.append(row_of(one, tuple(one.outputs), mapped))

    run = {name: options[name] for name in ("batch", "workers", "resamples")}
    found = evaluate(predictor, source, mapped, see=see, **run)
    next(bar, None)
    if options["predictions"] is not None:
        with writing(options["predictions"]):
            write_table(rows, options["predictions"])
    return found


def _print(found: Evaluation) -> None:
    from caffeport.cli.tables import console, table
    from caffeport.evaluate.report import columns, rows

    out = console()
    heads = columns(found)
    out.print(f"{found.model} on {found.data}", markup=False, style="bold")
    out.print(table(heads, rows(found), right=heads[1:]))
    for view in found.views:
        for sentence in view.findings:
            out.print(f"{view.name}: {sentence}", markup=False, style="yellow", soft_wrap=True)

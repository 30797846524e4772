"""`caffeport pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from caffeport.cli import dataset, recipe
from caffeport.cli.outputs import check_folder, writing
from caffeport.errors import Refused


@click.command("pack")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Decode and resize as this model's preprocessing says.")
@dataset.options
@click.option("--workers", default=0, show_default=True, type=click.IntRange(0, 256), help="Processes that decode.")
@click.option("--leave-out-broken", is_flag=True, help="Go on without broken pictures, and list them in the index.")
@recipe.options
def command(data: Path, out: Path, model: Path | None, leave_out_broken: bool, **options: Any) -> None:
    """Decode and resize DATA once, into the folder OUT: a memory-mapped array of bytes with its index.

    Training, `predict` and `evaluate` read it instead of the pictures. A run that was stopped goes on where it was.
    """
    from rich.progress import Progress

    from caffeport.cli.tables import console, counted
    from caffeport.data import pack

    progress, result = console(stderr=True), console()
    check_folder(out.parent)
    source = dataset.opened(data, options)
    # A pack holds what comes before the mean: a profile that wants a mean image does without one here.
    if options["profile"] and not options["mean"] and not options["mean_values"] and not options["published_mean"]:
        options["mean"] = "none"
    chosen = recipe.chosen(options, _carried(model))
    if chosen is None:
        raise Refused("pack", "does not know the size to bring pictures to", "", "give --profile, --model or --resize")
    workers = options["workers"]
    left = f"{out}.partial keeps what is done: run the same again to go on"
    with writing(out, left), Progress(console=progress, transient=True, disable=not progress.is_terminal) as bar:
        task = bar.add_task("packing", total=len(source))
        packed = pack(
            source, out, chosen.preprocessing, workers, leave_out_broken=leave_out_broken,
            progress=lambda done, _: bar.update(task, completed=done),
        )  # fmt: skip
    for one in packed.index.left_out:
        progress.print(f"left out: {one['key']}: {one['what']}", markup=False, soft_wrap=True)
    size = " x ".join(str(side) for side in packed.index.shape[1:])
    result.print(f"{out}: {counted(len(packed))} of {size}", markup=False)


def _carried(model: Path | None) -> Any:
    if model is None:
        return None
    from caffeport.predict.models import open_model

    return open_model(model).recipe

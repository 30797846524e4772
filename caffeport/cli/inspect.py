"""`caffeport inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from caffeport.inspection import Inspection


@click.command("inspect")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--phase", type=click.Choice(["TEST", "TRAIN"]), default="TEST", show_default=True, help="Which net.")
@click.option(
    "--coverage",
    "many",
    type=click.Path(path_type=Path),
    help="Count how many nets of a folder or tar archive convert.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(files: tuple[Path, ...], phase: str, many: Path | None, as_json: bool) -> None:
    """Show what is in FILES: nets, weights, solver states, mean images; text, binary or HDF5, of any era."""
    from caffeport.inspection import inspect

    if many is not None:
        show_coverage(many, as_json)
    elif not files:
        raise click.UsageError("give FILES, or --coverage with a folder or archive of nets")
    found = [inspect(file, phase) for file in files]
    if as_json:
        if found:
            click.echo(json.dumps([one.as_json() for one in found], indent=2))
        return
    for one in found:
        show(one)


def show_coverage(path: Path, as_json: bool) -> None:
    """Print how many nets convert, and what the others lack, most frequent first."""
    from caffeport.cli.tables import console, table
    from caffeport.coverage import coverage

    found = coverage(path)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    out = console()
    fine = found.converted + found.told
    share = 100 * fine / found.nets if found.nets else 0.0
    told = f", {found.told} of them once the shape of an input is told" if found.told else ""
    out.print(f"{path}: {fine} of {found.nets} nets convert ({share:.1f} %){told}", markup=False)
    if found.refused:
        rows = [(str(nets), reason) for reason, nets in found.reasons()]
        out.print(table(("nets", "what is missing"), rows, right=("nets",)))


def show(one: Inspection) -> None:
    """Print one file: a line about it, its layers as a table, what stands in the way of a port."""
    from caffeport.cli.tables import console, number, table
    from caffeport.layers.shapes import show as shape

    out = console()
    facts = ", ".join(f"{name} {value}" for name, value in one.facts if value)
    about = ", ".join(part for part in (one.kind, one.era, f"{number(one.bytes)} bytes", facts) if part)
    out.print(f"{one.file}: {about}", markup=False, style="bold")
    if one.rows:
        rows = [
            (
                row.name,
                row.type,
                ", ".join(shape(s) for s in row.shapes) or "",
                ", ".join(shape(s) for s in row.blobs),
                number(row.parameters) if row.parameters else "",
                number(row.macs) if row.macs else "",
                "yes" if row.ported and not row.problem else "no" if not row.ported else "refused",
            )
            for row in one.rows
        ]
        columns = ("layer", "type", "top", "blobs", "parameters", "multiply-adds", "ported")
        out.print(table(columns, rows, right=("parameters", "multiply-adds")))
        total = f"{number(one.parameters)} parameters"
        out.print(f"{len(one.rows)} layers, {total}" + (f", {number(one.macs)} multiply-adds" if one.macs else ""))
    for problem in one.problems:
        out.print(f"not portable as it stands: {problem}", markup=False)
    out.print()

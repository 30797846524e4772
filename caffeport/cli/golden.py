"""`caffeport golden`: recordings of Caffe of a user's own."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("golden")
def command() -> None:
    """Record golden cases where Caffe still runs, and check them."""


@command.command("script")
@click.argument("net", type=click.Path(path_type=Path))
@click.argument("weights", required=False, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The script to write.")
@click.option("--phase", type=click.Choice(["TEST", "TRAIN"]), default="TEST", show_default=True, help="Which net.")
@click.option("--backward", is_flag=True, help="Record gradients too.")
@click.option("--case", default="golden-case", show_default=True, help="The folder that the script writes.")
def script(net: Path, weights: Path | None, output: Path, phase: str, backward: bool, case: str) -> None:
    """Write a recorder for NET and WEIGHTS: one script for Python 2.7 or 3 that needs numpy and pycaffe only."""
    from shlex import quote

    from caffeport.verify.recorder import write_script

    write_script(net, weights, output, phase=phase, backward=backward, case=case)
    click.echo(
        f"{output}: run it beside {net.name}{f' and {weights.name}' if weights else ''} where Caffe runs, such as"
    )
    click.echo(f'  docker run --rm -v "$PWD:/work" -w /work bvlc/caffe:cpu python {quote(output.name)}')


@command.command("check")
@click.argument("cases", nargs=-1, required=True, type=click.Path(path_type=Path))
def check(cases: tuple[Path, ...]) -> None:
    """Validate golden CASES (folders, searched recursively): every file, every array, against the net."""
    from caffeport.verify.case import find_cases
    from caffeport.verify.recorder import check_case

    for folder in [folder for path in cases for folder in find_cases(path)]:
        found = check_case(folder)
        rest = f", {found.gradients} gradients" if found.gradients else ""
        rest += f", {found.changed} parameters that the pass changed" if found.changed else ""
        click.echo(f"{folder}: format {found.format}, {found.phase}, {found.layers} layers, {found.tops} tops{rest}")
        click.echo(f"  computed by {found.oracle}")
        for remark in found.remarks:
            click.echo(f"  {remark}")

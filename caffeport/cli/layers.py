"""`caffeport layers`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from caffeport.errors import UnknownLayer

if TYPE_CHECKING:
    from caffeport.support import Support


@click.command("layers")
@click.argument("types", nargs=-1, metavar="[TYPE]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(types: tuple[str, ...], as_json: bool) -> None:
    """List the layer types that are ported; with TYPE, tell which of its fields are read, ignored and refused."""
    from caffeport.cli.tables import console, table
    from caffeport.support import support

    found = [one for one in support() if not types or {one.type, *one.aliases} & set(types)]
    missing = set(types) - {name for one in found for name in (one.type, *one.aliases)}
    if missing:
        todo = "`caffeport layers` lists the types that are"
        raise UnknownLayer("layers", f"no layer of type {sorted(missing)[0]!r} is known", "", todo)
    if as_json:
        click.echo(json.dumps([one.as_json() for one in found], indent=2))
        return
    out = console()
    if not types:
        rows = [(one.type, one.fork, one.onnx.split(":")[0], one.about) for one in found]
        out.print(table(("type", "from", "ONNX", "what it computes"), rows))
        return
    for one in found:
        for name, value in details(one):
            out.print(f"{name:9} {value}", markup=False)
        out.print()


def details(one: Support) -> list[tuple[str, str]]:
    """One layer type as name and text, line by line."""
    names = ", ".join((one.type, *one.aliases))
    return [
        ("type", f"{names} ({one.fork}; {one.mirrors})"),
        ("about", one.about),
        ("bottoms", one.bottoms),
        ("tops", one.tops),
        ("reads", ", ".join(one.reads) or "nothing"),
        ("ignores", ", ".join(one.ignores) or "nothing"),
        ("refuses", ", ".join(one.refuses) or "nothing that the schema knows"),
        ("ONNX", one.onnx),
    ]

"""`caffeport upgrade`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("upgrade")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def command(source: Path, target: Path) -> None:
    """Bring SOURCE, a net of any era with or without weights, to today's form in TARGET.

    TARGET is written as text where it ends in .prototxt, .txt or .pbtxt, and as binary otherwise.
    """
    from caffeport.upgrading import upgrade

    upgrade(source, target)
    click.echo(str(target))

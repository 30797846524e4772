"""Tables for terminals and pipes: rich where there is a terminal, the same columns without colour elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def console(stderr: bool = False) -> Console:
    """Where results (stdout) or progress (stderr) go. Wide enough for every column when the output is a pipe."""
    # No markup: names out of files are text; and rich's tables of emoji, which markup loads, take 50 ms.
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = 200
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = (), title: str = "") -> Table:
    """A plain table; the columns named in `right` are aligned right. Cells are text, not markup."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def counted(pictures: int) -> str:
    """How many pictures, as words."""
    return "1 picture" if pictures == 1 else f"{pictures:,} pictures"


def number(value: int) -> str:
    """A whole number with thin groups: ``56,872,321``."""
    return f"{value:,}"

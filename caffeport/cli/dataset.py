"""The options that say how a data set is read, shared by the verbs that read one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from caffeport.data import Source

#: option -> (the argument of `open_source`, its kind, its help).
_OPTIONS: dict[str, tuple[str, Any, str]] = {
    "--split": ("split", str, "LaMem's split, as test_1."),
    "--truth": ("scores", click.Path(path_type=Path), "An LMDB of scores, beside the LMDB of pictures in DATA."),
    "--root": ("root", str, "Where the names in a list or table begin."),
    "--picture": ("picture", str, "A table's column of picture names."),
    "--label": ("score", str, "A table's column of true scores."),
}


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; their values arrive as keyword arguments for `opened`."""
    for flag, (_, kind, text) in reversed(_OPTIONS.items()):
        function = click.option(flag, type=kind, help=text)(function)
    return function


def opened(data: Path, values: Mapping[str, Any]) -> Source:
    """The data set. Raises UnreadableFile, Refused."""
    from caffeport.data import open_source

    return open_source(data, **{name: values[flag[2:]] for flag, (name, _, _) in _OPTIONS.items()})


def labels(data: Path, values: Mapping[str, Any]) -> Source:
    """The data set where its labels alone are wanted: pictures may be missing. Raises UnreadableFile, Refused."""
    from caffeport.data import csv_table, lamem

    if data.suffix.lower() in (".csv", ".tsv") and values["picture"]:
        picture, score = values["picture"], values["label"]
        return csv_table(data, values["root"], picture=picture, score=score, check_files=False)
    if (data / "splits").is_dir() and values["split"]:
        return lamem(data, values["split"], check_files=False)
    return opened(data, values)

"""What `predict` is given becomes one source: files, folders, globs, lists, databases, names on stdin."""

from __future__ import annotations

import glob
import os
import sys
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from caffeport.data import Item, Label, Source, folder, open_source
from caffeport.data.hdf5 import read_text
from caffeport.data.lists import PICTURE_SUFFIXES, Entry, PictureFiles
from caffeport.data.source import printable
from caffeport.errors import Refused

LISTS: Final = (".txt", ".lst", ".list")


class Several(Source):
    """Sources one after the other; a name that comes again is left out."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self.name = ", ".join(part.name for part in parts)[:200]
        self.parts = tuple(parts)
        seen: set[str] = set()
        self._places: list[int] = []
        ends = list(accumulate(len(part) for part in self.parts))
        names = [key for part in self.parts for key in part.keys]
        for place, key in enumerate(names):
            if key not in seen:
                seen.add(key)
                self._places.append(place)
        self.doubles = len(names) - len(self._places)
        self._ends, self.keys = ends, [names[place] for place in self._places]

    def read(self, index: int) -> Item:
        """One item."""
        place = self._places[index]
        part = bisect_right(self._ends, place)
        return self.parts[part][place - (self._ends[part] - len(self.parts[part]))]

    def labels(self) -> list[Label]:
        """Every label."""
        every = [label for part in self.parts for label in part.labels()]
        return [every[place] for place in self._places]


def open_inputs(
    arguments: Sequence[str], root: str = "", picture: str | None = None, score: str | None = None
) -> Several:
    """The pictures that the arguments name.

    Args:
        arguments: picture files, folders (searched below), globs, list files (.txt: a name a line, maybe with a
            label), tables (.csv, with `picture` naming the column), LMDBs, packs, .h5 files, or '-' for names on stdin.
        root: where the names in lists begin; unless given, the current folder or else the list's own.
        picture, score: a table's columns.

    A name without a file is a broken picture, met when its turn comes. Raises UnreadableFile, Refused where nothing is
    found at all.
    """
    parts: list[Source] = []
    files: list[str] = []
    for argument in arguments:
        found = _expand(argument, root, picture, score)
        if isinstance(found, Source):
            parts += [*_files(files), found]
            files = []
        else:
            files += found
    parts += _files(files)
    if not parts:
        raise Refused("predict", f"found no pictures in {', '.join(arguments)}")
    return Several(parts)


def _files(names: list[str]) -> list[Source]:
    if not names:
        return []
    entries = [Entry(printable(name), name, None) for name in names]
    return [PictureFiles("pictures", entries, check_files=False, unique=False)]


def _expand(argument: str, root: str, picture: str | None, score: str | None) -> Source | list[str]:
    if argument == "-":
        return _names(os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer)
    path = Path(argument)
    if not path.exists():
        found = sorted(glob.glob(argument, recursive=True)) if glob.has_magic(argument) else []
        return [name for name in found if _is_picture(name)] or [argument]
    if path.is_dir():
        if (path / "splits").is_dir():
            return _with_folder(folder(path), path)  # LaMem's folder: no split is asked for where no score is
        opened = open_source(argument)
        return _with_folder(opened, path) if isinstance(opened, PictureFiles) else opened
    if path.suffix.lower() in LISTS and not _is_hdf5_list(path):
        return _listed(path, root)
    if path.suffix.lower() in (".csv", ".tsv", ".mdb", ".lmdb", ".h5", ".hdf5") or path.suffix.lower() in LISTS:
        return open_source(argument, root=root or None, picture=picture, score=score)
    return [argument]


def _names(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.strip()]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURE_SUFFIXES) and os.path.isfile(name)


def _with_folder(found: PictureFiles, path: Path) -> PictureFiles:
    """Names as the user would write them: with the folder before them."""
    entries = [Entry(printable(entry.path), entry.path, entry.label) for entry in found.entries]
    return PictureFiles(found.name, entries, check_files=False) if entries else folder(path)


def _is_hdf5_list(path: Path) -> bool:
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return bool(lines) and all(line.endswith((".h5", ".hdf5")) for line in lines)


def _listed(path: Path, root: str) -> Source:
    """A list: a name a line, and a label behind the last space where that is a number and the whole is no file."""
    entries = []
    base = _base(root, path)
    for line in read_text(path).splitlines():
        if not line.strip():
            continue
        name, label = _parted(line.rstrip(), base)
        entries.append(Entry(name, os.path.join(base, name), label))
    return PictureFiles(str(path), entries, check_files=False, unique=False)


def _base(root: str, path: Path) -> str:
    """Where the names of a list begin: as told, or where the first one is found."""
    lines = [line.rstrip() for line in read_text(path).splitlines() if line.strip()]
    if root or not lines:
        return root
    for base in ("", str(path.parent)):
        if os.path.isfile(os.path.join(base, _parted(lines[0], base)[0])):
            return base
    return ""


def _parted(line: str, base: str) -> tuple[str, Label]:
    name, _, last = line.rpartition(" ")
    try:
        label = float(last)
    except ValueError:
        return line, None
    if not name.strip() or os.path.isfile(os.path.join(base, line)):
        return line, None
    return name.strip(), label

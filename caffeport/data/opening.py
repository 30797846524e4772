"""`open_source`: the data set behind a path, told by what lies there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from caffeport.data.databases import LmdbSource, PairedLmdb
from caffeport.data.hdf5 import Hdf5Source, read_text
from caffeport.data.lists import MEMCAT_SCORE, MEMCAT_TABLE, Range, csv_table, folder, image_list, lamem, memcat
from caffeport.data.packed import PackedPictures, is_pack
from caffeport.data.source import Source
from caffeport.errors import Refused, UnreadableFile

KINDS: Final = "a pack, an LMDB, LaMem's or MemCat's folder, pictures, a .csv, an ImageData list, an .h5 file or a list"


def open_source(
    path: str | os.PathLike[str],
    *,
    scores: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    picture: str | None = None,
    score: str | None = None,
    score_range: Range | None = None,
) -> Source:
    """Open a data set.

    Args:
        path: a pack, an LMDB, LaMem's or MemCat's folder, a folder of pictures, a table (.csv, .tsv), an ImageData
            list, an .h5 file or a list of them.
        scores: an LMDB of scores to read beside the one at `path`.
        root: where a table's or list's picture names begin; the file's own folder unless given.
        split: LaMem's split, as 'test_1'.
        picture, score: a table's columns.
        score_range: the lowest and highest score that a list or table may hold.

    Raises UnreadableFile, Refused.
    """
    place = Path(path)
    if not place.exists():
        raise UnreadableFile(os.fspath(path), "does not exist", KINDS)
    if scores is not None:
        return PairedLmdb(path, scores)
    if place.is_dir():
        return _open_folder(place, split, score)
    if place.suffix.lower() in (".csv", ".tsv"):
        if place.name == MEMCAT_TABLE and picture is None:
            return memcat(place.parent if root is None else root, place, score=score or MEMCAT_SCORE)
        if picture is None:
            todo = "name its columns of pictures and scores, by --picture and --label"
            raise Refused(os.fspath(path), "is a table", todo=todo)
        return csv_table(path, root, picture=picture, score=score, score_range=score_range)
    if place.suffix.lower() in (".mdb", ".lmdb"):
        return LmdbSource(path)
    return _open_list(place, root, score_range)


def _open_folder(place: Path, split: str | None, score: str | None) -> Source:
    if is_pack(place):
        return PackedPictures(place)
    if (place / "data.mdb").is_file() or (place / "CURRENT").is_file():
        return LmdbSource(place)
    if (place / "splits").is_dir():
        if split is None:
            raise Refused(os.fspath(place), "is LaMem's folder", todo="name a split, as --split test_1")
        return lamem(place, split)
    if split is not None:
        raise Refused(os.fspath(place), f"has no splits folder for the split {split!r}")
    if next(place.glob(MEMCAT_TABLE), None) or next(place.glob(f"*/{MEMCAT_TABLE}"), None):
        return memcat(place, score=score or MEMCAT_SCORE)
    return folder(place)


def _open_list(place: Path, root: str | os.PathLike[str] | None, score_range: Range | None) -> Source:
    with open(place, "rb") as stream:
        is_hdf5 = stream.read(8) == b"\x89HDF\r\n\x1a\n"
    if is_hdf5:
        return Hdf5Source(place)
    lines = [line.strip() for line in read_text(place).splitlines() if line.strip()]
    if lines and all(line.endswith((".h5", ".hdf5")) for line in lines):
        return Hdf5Source(place, folder=root)
    base = place.parent if root is None else Path(root)
    return image_list(place, f"{os.fspath(base)}/", score_range=score_range)

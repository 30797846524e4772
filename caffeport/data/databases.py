"""LMDB databases of Datums, alone (pictures with labels) or two side by side (pictures and scores, as MemNet trained).

Mirrors src/caffe/layers/data_layer.cpp and src/caffe/util/db_lmdb.cpp of BVLC Caffe: records in key order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffeport.data.datum import Datum, parse_datum
from caffeport.data.source import Item, Label, Source, check_unique
from caffeport.errors import Refused, UnreadableFile
from caffeport.transform.needs import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OPEN: dict[tuple[int, int, int], Any] = {}
"""Open environments by process and file (device, inode): LMDB must not open one twice, nor carry one over a fork."""


class LmdbSource(Source):
    """The records of one LMDB: encoded or raw pictures, with the Datum's integer label (None where it is unset)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the database and list its keys. Raises UnreadableFile, Refused (LevelDB, or no `lmdb` package)."""
        self.name = os.fspath(path)
        try:
            with _environment(self.name).begin() as transaction:
                self._raw_keys: list[bytes] = list(transaction.cursor().iternext(keys=True, values=False))
        except need("lmdb", self.name).Error as error:
            raise UnreadableFile(self.name, f"cannot be read as LMDB ({error})") from None
        self.keys: Sequence[str] = [key.decode("utf-8", "backslashreplace") for key in self._raw_keys]

    def datum(self, index: int) -> Datum:
        """One record. Raises UnreadableFile."""
        where = f"{self.name}: key {self.keys[index]!r}"
        try:
            with _environment(self.name).begin() as transaction:
                value = transaction.get(self._raw_keys[index])
        except need("lmdb", where).Error as error:
            raise UnreadableFile(where, f"cannot be read ({error})") from None
        if value is None:
            raise UnreadableFile(where, "is gone: the database changed since it was opened")
        return parse_datum(value, where)

    def read(self, index: int) -> Item:
        """One record with its label."""
        datum = self.datum(index)
        label: Label = None if datum.label is None else float(datum.label)
        return Item(self.keys[index], picture_of(datum), label, datum.where)

    def labels(self) -> list[Label]:
        """Every record's label, without decoding a picture."""
        found = (self.datum(index).label for index in range(len(self)))
        return [None if label is None else float(label) for label in found]


class PairedLmdb(Source):
    """Two LMDBs read side by side, record by record: pictures, and the scores in the other one's records."""

    def __init__(self, pictures: str | os.PathLike[str], scores: str | os.PathLike[str]) -> None:
        """Open both. Raises Refused where their counts, or the numbers that their keys begin with, differ."""
        self.pictures, self.scores = LmdbSource(pictures), LmdbSource(scores)
        self.name = f"{self.pictures.name} beside {self.scores.name}"
        self.keys: Sequence[str] = self.pictures.keys
        if len(self.keys) != len(self.scores):
            raise Refused(
                self.name, f"{len(self.pictures)} pictures and {len(self.scores)} scores", "one score for each picture"
            )
        for picture, score in zip(self.pictures.keys, self.scores.keys, strict=True):
            numbers = re.match(r"\d+", picture), re.match(r"\d+", score)
            if picture != score and numbers[0] and numbers[1] and int(numbers[0][0]) != int(numbers[1][0]):
                raise Refused(self.name, f"the picture {picture!r} meets the score {score!r}", "both in the same order")
        check_unique(self.pictures.keys, self.name)

    def read(self, index: int) -> Item:
        """A picture and its score."""
        datum = self.pictures.datum(index)
        return Item(self.keys[index], picture_of(datum), score_of(self.scores.datum(index)), datum.where)

    def labels(self) -> list[Label]:
        """Every score."""
        return [score_of(self.scores.datum(index)) for index in range(len(self))]


def picture_of(datum: Datum) -> bytes | NDArray[np.generic]:
    """An encoded picture's bytes, or (H, W, C) values as stored. Raises UnreadableFile."""
    if datum.encoded:
        return datum.data
    return datum.array().transpose(1, 2, 0)


def score_of(datum: Datum) -> Label:
    """What a record of scores says: its values, or its label where it has none. Raises UnreadableFile."""
    if datum.encoded:
        raise UnreadableFile(datum.where, "is an encoded picture", "a record of scores holds float_data or a label")
    if datum.floats is None and not datum.data:
        if datum.label is None:
            raise UnreadableFile(datum.where, "holds no score", "float_data, data or a label")
        return float(datum.label)
    values = tuple(float(value) for value in datum.array().reshape(-1))
    return values[0] if len(values) == 1 else values


def _environment(path: str) -> Any:
    """The open database of this process. Raises UnreadableFile, Refused."""
    is_folder = os.path.isdir(path)
    try:
        status = os.stat(Path(path) / "data.mdb" if is_folder else path)
    except (OSError, ValueError):
        if is_folder and (Path(path) / "CURRENT").exists():
            raise Refused(path, "is a LevelDB database", "LMDB is read", "convert it with Caffe's own tools") from None
        raise UnreadableFile(path, "is no LMDB", "a folder with data.mdb, or the file itself") from None
    known = (os.getpid(), status.st_dev, status.st_ino)
    if known in _OPEN:
        return _OPEN[known]
    lmdb = need("lmdb", path)
    try:
        opened = lmdb.open(path, readonly=True, lock=False, subdir=is_folder, readahead=False, max_dbs=0)
    except (lmdb.Error, OSError) as error:
        raise UnreadableFile(path, f"cannot be opened as LMDB ({error})") from None
    return _OPEN.setdefault(known, opened)

"""Where `predict` puts what it finds: a stream of CSV, a table, or features.

Each knows the names that it has already (`known`, those of a finished table in `finished`), and what can be done
when a run is stopped (`todo`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffeport.errors import Refused
from caffeport.predict.features import Features
from caffeport.predict.tables import Journal, Row, check_format, columns_of, csv_lines, read_table, row_of, write_table

if TYPE_CHECKING:
    from caffeport.predict.predictor import Prediction, Predictor
    from caffeport.transform.profiles import OutputMap


def settings_of(predictor: Predictor, blobs: Sequence[str], output: OutputMap, each_crop: bool) -> dict[str, Any]:
    """What makes two runs alike: the model's bytes, the preprocessing, what is given out."""
    from caffeport.artefacts.provenance import sha256

    path = Path(predictor.where)
    status = path.stat()
    return {
        "model": sha256(path, status.st_size, status.st_mtime_ns),
        "preprocessing": predictor.prep.to_dict(),
        "blobs": list(blobs),
        "output": str(output),
        "each_crop": each_crop,
    }


class StreamSink:
    """CSV on stdout as it comes."""

    todo = ""
    finished: frozenset[str] = frozenset()

    def __init__(self, output: OutputMap, each_crop: bool) -> None:
        self.output, self.each_crop, self.known = output, each_crop, set[str]()
        self._columns: list[str] = []

    def add(self, found: Sequence[Prediction]) -> None:
        """Print some rows."""
        rows = [row_of(one, tuple(one.outputs), self.output, self.each_crop) for one in found]
        header = not self._columns
        self._columns = self._columns or columns_of(rows)
        if rows:
            sys.stdout.write(csv_lines(rows, self._columns, header))
            sys.stdout.flush()

    def close(self, done: bool, order: Sequence[str]) -> None:
        """Nothing is left to do."""


class TableSink:
    """A table, written when all is there; a journal beside it until then."""

    def __init__(self, target: Path, settings: Mapping[str, Any], output: OutputMap, each_crop: bool) -> None:
        check_format(target)
        self.target, self.output, self.each_crop = target, output, each_crop
        self.old = read_table(target) if target.exists() else []
        self.journal = Journal(target, settings)
        self.todo = f"{self.journal.path} keeps what is done: run the same again to go on"
        self.finished = frozenset(str(row["name"]) for row in self.old)
        self.known = {*self.finished, *(str(row["name"]) for row in self.journal.rows)}

    def add(self, found: Sequence[Prediction]) -> None:
        """Keep some rows."""
        rows = [row_of(one, tuple(one.outputs), self.output, self.each_crop) for one in found]
        if self.old and rows and _values(rows[0]).keys() != _values(self.old[0]).keys():
            has, gives = ", ".join(self.old[0]), ", ".join(rows[0])
            raise Refused(str(self.target), f"has the columns {has}, this run gives {gives}", "", "choose another file")
        self.journal.add(rows)
        self.known |= {str(row["name"]) for row in rows}

    def check(self, again: Prediction) -> None:
        """Raise Refused where the table has another score for a picture: rows of two models would stand in one."""
        found = row_of(again, tuple(again.outputs), self.output, self.each_crop)
        old = _values(next((row for row in self.old if row["name"] == again.key), {}))
        for name, value in _values(found).items():
            if isinstance(old.get(name), float) and not isclose(value, old[name], rel_tol=1e-3, abs_tol=1e-4):
                self.journal.close(False)
                what = f"says {name} {old[name]:.6g} for {again.key}, and this run {value:.6g}"
                raise Refused(str(self.target), what, "one model and one setting in a table", "choose another file")

    def close(self, done: bool, order: Sequence[str]) -> None:
        """Write the table, in the order of the inputs; a stopped run leaves its journal."""
        if done:
            place = {key: number for number, key in enumerate(order)}
            rows: dict[str, Row] = {str(row["name"]): row for row in (*self.old, *self.journal.rows)}
            write_table(sorted(rows.values(), key=lambda row: place.get(row["name"], -1)), self.target)
        self.journal.close(done)


class FeatureSink:
    """Arrays by blob."""

    finished: frozenset[str] = frozenset()

    def __init__(self, target: Path, settings: Mapping[str, Any], blobs: Sequence[str], each_crop: bool) -> None:
        if target.exists():
            raise Refused(str(target), "is finished", "features go on from a stopped run only", "choose another file")
        self.features = Features(target, settings, blobs, each_crop)
        self.todo = f"{self.features.folder} keeps what is done: run the same again to go on"
        self.known = set(self.features.names)

    def add(self, found: Sequence[Prediction]) -> None:
        """Keep some pictures' values."""
        self.features.add(found)
        self.known |= {one.key for one in found}

    def close(self, done: bool, order: Sequence[str]) -> None:
        """Write the file once all is there; a stopped run leaves its folder."""
        if done:
            self.features.finish()


def _values(row: Row) -> Row:
    """What the model gave of a row: neither name nor labels, nor what is empty."""
    return {
        name: value
        for name, value in row.items()
        if name != "name" and not name.startswith("label") and value is not None
    }

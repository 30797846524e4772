"""Predictions as a table: CSV, JSON lines or Parquet, written through a journal so that a stopped run goes on."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from caffeport.data.hdf5 import read_text
from caffeport.errors import Refused, UnreadableFile
from caffeport.files import replacing
from caffeport.transform.needs import need

if TYPE_CHECKING:
    from caffeport.predict.predictor import Prediction
    from caffeport.transform.profiles import OutputMap

Row = dict[str, Any]

FORMATS: Final = (".csv", ".jsonl", ".parquet")


def row_of(found: Prediction, blobs: Sequence[str], output: OutputMap, each_crop: bool = False) -> Row:
    """One picture as a row: its name, its label where it has one, its score.

    A net with one output value gives ``score``; one with many gives ``best`` (the place of the largest) and
    ``score_0`` ...; one with several outputs puts the blob's name before. Scores are means over the crops, mapped by
    `output`; `each_crop` adds the raw value of every crop.
    """
    row: Row = {"name": found.key}
    if isinstance(found.label, tuple):
        row |= {f"label_{place}": value for place, value in enumerate(found.label)}
    elif found.label is not None:
        row["label"] = found.label
    for blob in blobs:
        before = "" if len(blobs) == 1 else f"{blob}."
        crops = found.outputs[blob].reshape(len(found.outputs[blob]), -1)
        mean = found.mean(blob).reshape(-1)
        mapped = [float(value) for value in (mean if output.name == "raw" else output(mean.astype("float64")))]
        if len(mapped) == 1:
            row[f"{before}score"] = mapped[0]
            if output.name != "raw":
                row[f"{before}raw"] = float(mean[0])
        else:
            row[f"{before}best"] = int(mean.argmax())
            row |= {f"{before}score_{place}": value for place, value in enumerate(mapped)}
        if each_crop:
            row |= {f"{before}crop_{place}": _plain(values) for place, values in enumerate(crops)}
    return row


def _plain(values: Any) -> Any:
    return float(values[0]) if len(values) == 1 else [float(value) for value in values]


class Journal:
    """The rows of a run beside their table, a JSON line each; what stands there after a crash is not lost."""

    def __init__(self, target: Path, settings: Mapping[str, Any]) -> None:
        """Open or begin the journal. Raises Refused where it belongs to a run with other settings."""
        self.path = target.with_name(f"{target.name}.partial")
        self.rows: list[Row] = []
        head = json.dumps(settings, sort_keys=True)
        lines = read_text(self.path).splitlines() if self.path.exists() else []
        if lines and lines[0] != head:
            todo = f"remove {self.path} to begin anew"
            raise Refused(str(self.path), "is left of a run with another model or other settings", "", todo)
        for line in lines[1:]:
            try:
                self.rows.append(json.loads(line))
            except ValueError:
                break  # the line that was being written when the run was stopped
        try:
            with open(self.path, "w", encoding="utf-8") as file:
                file.write("".join(f"{text}\n" for text in (head, *(json.dumps(row) for row in self.rows))))
            self._file: TextIO = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  closed in `close`
        except OSError as error:
            raise Refused(str(target), f"cannot be written ({error.strerror})") from None

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows and hand them to the system: a killed process loses none of them."""
        new = list(rows)
        self.rows += new
        self._file.write("".join(f"{json.dumps(row)}\n" for row in new))
        self._file.flush()

    def close(self, done: bool) -> None:
        """Close; the journal goes once its table is written, or where it holds nothing."""
        self._file.close()
        if done or not self.rows:
            self.path.unlink()


def write_table(rows: Sequence[Row], target: Path) -> None:
    """Write rows in the format of the suffix; the file appears when it is whole."""
    writer = _WRITERS[check_format(target)]
    with replacing(target) as part:
        writer(rows, part)


def read_table(path: str | os.PathLike[str]) -> list[Row]:
    """The rows of a table that `write_table` wrote, or of any with a column 'name'. Raises UnreadableFile."""
    target = Path(path)
    rows = _READERS[check_format(target)](target)
    if any("name" not in row for row in rows):
        raise UnreadableFile(str(path), "has no column 'name'", "a table that `caffeport predict` wrote")
    return rows


def check_format(target: Path) -> str:
    """The suffix. Raises Refused for one that no table has, MissingPackage where its package is not there."""
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise Refused(str(target), f"no table has the suffix {target.suffix!r}", f"there are {', '.join(FORMATS)}")
    if suffix == ".parquet":
        need("pyarrow", str(target))
    return suffix


def columns_of(rows: Sequence[Row]) -> list[str]:
    """All columns, in the order in which they first appear, labels behind the name."""
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["name"]
    return sorted(names, key=lambda name: (name != "name", not name.startswith("label")))


def csv_lines(rows: Sequence[Row], columns: Sequence[str], header: bool = True) -> str:
    """Rows as CSV; floats with as many digits as float32 needs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.9g}"
    return json.dumps(value) if isinstance(value, list) else value


def _write_csv(rows: Sequence[Row], part: Path) -> None:
    part.write_text(csv_lines(rows, columns_of(rows)), encoding="utf-8")


def _write_jsonl(rows: Sequence[Row], part: Path) -> None:
    part.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")


def _write_parquet(rows: Sequence[Row], part: Path) -> None:
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    table = arrow.table({name: [row.get(name) for row in rows] for name in columns_of(rows)})
    parquet.write_table(table, str(part))


def _read_csv(path: Path) -> list[Row]:
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:
        raise UnreadableFile(str(path), f"is no CSV ({error})") from None
    return [{key: value if key == "name" else _value(value) for key, value in row.items() if key} for row in rows]


def _value(text: Any) -> Any:
    try:
        return float(text) if text else None
    except (TypeError, ValueError):
        return text


def _read_jsonl(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UnreadableFile(f"{path}:{number}", "is no JSON object", "one a line")
        rows.append(row)
    return rows


def _read_parquet(path: Path) -> list[Row]:
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    try:
        rows: list[Row] = parquet.read_table(str(path)).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise UnreadableFile(str(path), f"is no Parquet file ({error})") from None
    return rows


_WRITERS: Final[dict[str, Callable[[Sequence[Row], Path], None]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
_READERS: Final[dict[str, Callable[[Path], list[Row]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}

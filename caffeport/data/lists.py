"""Sources of picture files: ImageData lists, LaMem's splits, MemCat's table, and any CSV with a picture and a score."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from caffeport.data.hdf5 import read_text
from caffeport.data.source import Item, Label, Source, check_disjoint, check_unique, printable, some
from caffeport.errors import CaffeportError, Refused, UnreadableFile, raise_all
from caffeport.transform.picture import read_bytes

Range = tuple[float, float]

UNIT: Final[Range] = (0.0, 1.0)
LAMEM_SPLITS: Final = ("train", "val", "test")
MEMCAT_TABLE: Final = "memcat_image_data.csv"
MEMCAT_SCORE: Final = "memorability_w_fa_correction"
PICTURE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a list: its name there, the file, and its label."""

    key: str
    path: str
    label: Label


class PictureFiles(Source):
    """Picture files by name. Raises Refused at once for all that is wrong: doubles, scores, missing files."""

    def __init__(
        self,
        name: str,
        entries: Sequence[Entry],
        *,
        score_range: Range | None = None,
        check_files: bool = True,
        unique: bool = True,
    ) -> None:
        """Check the entries. `score_range` is inclusive; `unique` False allows a name twice (as ImageData does)."""
        self.name, self.entries = name, tuple(entries)
        self.keys: Sequence[str] = [entry.key for entry in self.entries]
        if not self.entries:
            raise Refused(name, "lists no pictures")
        checks: list[Callable[[], None]] = [lambda: _check_scores(name, self.entries, score_range)]
        checks += [lambda: check_unique(self.keys, name)] if unique else []
        checks += [lambda: _check_files(name, self.entries)] if check_files else []
        problems: list[CaffeportError] = []
        for check in checks:
            try:
                check()
            except CaffeportError as error:
                problems.append(error)
        raise_all(problems)

    def read(self, index: int) -> Item:
        """One picture's bytes and its label."""
        entry = self.entries[index]
        return Item(entry.key, read_bytes(entry.path), entry.label, entry.path)

    def labels(self) -> list[Label]:
        """Every label, without reading a picture."""
        return [entry.label for entry in self.entries]


def image_list(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] = "",
    *,
    integers: bool = False,
    score_range: Range | None = None,
    check_files: bool = True,
    unique: bool = True,
) -> PictureFiles:
    """An ImageData list: a name and a label a line, parted at the last space, as image_data_layer.cpp reads it.

    `root` is put before each name as it is (Caffe's root_folder); `integers` refuses 0.7, which Caffe would read as 0.
    Lines without a label give None. Raises UnreadableFile, Refused.
    """
    entries = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, _, text = line.rstrip().rpartition(" ")
        where = f"{os.fspath(path)}:{number}"
        if not name and not integers:
            name, text = text, ""
        label = _score(text, where) if text else None
        if integers and (label is None or label != int(label)):
            raise Refused(where, f"label is {text!r}", "Caffe reads whole numbers here, and the rest as 0")
        entries.append(Entry(name.strip(), os.fspath(root) + name.strip() if root else name.strip(), label))
    return PictureFiles(os.fspath(path), entries, score_range=score_range, check_files=check_files, unique=unique)


def lamem(root: str | os.PathLike[str], split: str, *, check_files: bool = True) -> PictureFiles:
    """One of LaMem's split files, by name as 'test_1'. Raises UnreadableFile, Refused."""
    path = Path(root) / "splits" / f"{split}.txt"
    kind, _, number = split.partition("_")
    if kind not in LAMEM_SPLITS or not number.isdigit() or not path.is_file():
        found = sorted(file.stem for file in (Path(root) / "splits").glob("*_*.txt"))
        raise Refused(os.fspath(root), f"has no split {split!r}", f"it has {', '.join(found) or 'no splits folder'}")
    entries = []
    for place, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 2:
            raise UnreadableFile(f"{path}:{place}", f"says {line[:60]!r}", "a picture and a score: 00000001.jpg 0.8")
        name = parts[0].removeprefix("images/")
        entries.append(Entry(name, os.fspath(Path(root) / "images" / name), _score(parts[1], f"{path}:{place}")))
    return PictureFiles(os.fspath(path), entries, score_range=UNIT, check_files=check_files)


def lamem_splits(root: str | os.PathLike[str], number: int = 1, *, check_files: bool = True) -> dict[str, Source]:
    """LaMem's train, val and test of one number, checked not to overlap. Raises UnreadableFile, Refused."""
    splits: dict[str, Source] = {
        kind: lamem(root, f"{kind}_{number}", check_files=check_files) for kind in LAMEM_SPLITS
    }
    check_disjoint(splits)
    return splits


def csv_table(
    path: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    picture: str,
    score: str | None = None,
    score_range: Range | None = None,
    check_files: bool = True,
) -> PictureFiles:
    """Any CSV (comma, semicolon or tab) with a header: columns by name. `root` is the table's folder unless given."""
    folder = Path(path).parent if root is None else Path(root)
    entries = []
    for number, row in _rows(path, [picture] + ([score] if score else [])):
        name = row[picture].strip()
        label = _score(row[score], f"{os.fspath(path)}:{number}, column {score!r}") if score else None
        entries.append(Entry(name, os.fspath(folder / name), label))
    return PictureFiles(os.fspath(path), entries, score_range=score_range, check_files=check_files)


def memcat(
    root: str | os.PathLike[str],
    table: str | os.PathLike[str] | None = None,
    *,
    score: str = MEMCAT_SCORE,
    categories: Sequence[str] = (),
    check_files: bool = True,
) -> PictureFiles:
    """MemCat: its table, and pictures at category/subcategory/file below `root` or a folder in it.

    Keys are 'category/subcategory/file'; `categories` keeps some of them only. Raises UnreadableFile, Refused.
    """
    path = Path(table) if table is not None else _find_table(Path(root))
    rows = [
        (number, "/".join(row[name].strip() for name in ("category", "subcategory", "image_file")), row)
        for number, row in _rows(path, ["category", "subcategory", "image_file", score])
        if not categories or row["category"].strip() in categories
    ]
    if not rows:
        raise Refused(os.fspath(path), f"lists no pictures of {list(categories) or 'any category'}")
    folder = _find_pictures(Path(root), rows[0][1])
    entries = [
        Entry(key, os.fspath(folder / key), _score(row[score], f"{path}:{number}, column {score!r}"))
        for number, key, row in rows
    ]
    return PictureFiles(os.fspath(path), entries, score_range=UNIT, check_files=check_files)


def folder(path: str | os.PathLike[str]) -> PictureFiles:
    """Every picture file below a folder, by name in sorted order, without labels."""
    root = Path(path)
    # A link to nowhere is listed too, and told as a broken picture when its turn comes.
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and not file.is_dir())
    entries = [Entry(printable(file.relative_to(root).as_posix()), os.fspath(file), None) for file in files]
    return PictureFiles(os.fspath(path), entries, check_files=False)


def _rows(path: str | os.PathLike[str], columns: Sequence[str]) -> Iterable[tuple[int, dict[str, str]]]:
    """The rows of a CSV as (line, values by column). Raises UnreadableFile, and Refused where a column is missing."""
    name, text = os.fspath(path), read_text(path)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [column.strip() for column in reader.fieldnames or ()]
        missing = [column for column in columns if column not in header]
        if missing:
            raise Refused(
                name, f"has no column {some(missing)}", f"it has {', '.join(header)}", "give --picture and --label"
            )
        reader.fieldnames = header
        for row in reader:
            if any(row[column] is None for column in columns):
                raise UnreadableFile(f"{name}:{reader.line_num}", "the row is shorter than the header")
            yield reader.line_num, row
    except csv.Error as error:
        raise UnreadableFile(f"{name}:{reader.line_num}", f"is no CSV ({error})") from None


def _score(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        allowed = "a number is needed" + (", with a decimal point" if "," in text else "")
        raise Refused(where, f"the score is {text!r}", allowed) from None
    if not math.isfinite(value):
        raise Refused(where, f"the score is {text!r}", "a finite number is needed")
    return value


def _check_scores(name: str, entries: Sequence[Entry], score_range: Range | None) -> None:
    if score_range is None:
        return
    low, high = score_range
    wrong = [
        f"{entry.key} {entry.label:g}"
        for entry in entries
        if isinstance(entry.label, float) and not low <= entry.label <= high
    ]
    if wrong:
        todo = "divide by 100 if they are percentages" if high == 1 else ""
        raise Refused(name, f"{len(wrong)} scores out of range ({some(wrong)})", f"{low:g} to {high:g}", todo)


def _check_files(name: str, entries: Sequence[Entry]) -> None:
    missing = [entry.path for entry in entries if not os.path.isfile(entry.path)]
    if missing:
        what = f"{len(missing)} of {len(entries)} pictures are missing ({some(missing)})"
        raise Refused(name, what, todo="check the folder that the names are relative to, or give --root")


def _find_table(root: Path) -> Path:
    """MemCat's table in the folder, beside it, or one folder down."""
    for place in (root, root.parent, *sorted(item for item in root.iterdir() if item.is_dir())):
        if (place / MEMCAT_TABLE).is_file():
            return place / MEMCAT_TABLE
    raise Refused(os.fspath(root), f"there is no {MEMCAT_TABLE}", todo="give the table's path")


def _find_pictures(root: Path, first: str) -> Path:
    """The folder above the categories: the zips differ by up to two folders."""
    levels = [root, *sorted(item for item in root.glob("*") if item.is_dir())]
    levels += [item for level in levels[1:] for item in sorted(level.glob("*")) if item.is_dir()]
    for place in levels:
        if (place / first).is_file():
            return place
    raise Refused(os.fspath(root), f"has no {first} in it, nor up to two folders down", "category/subcategory/file")

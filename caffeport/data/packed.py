"""Packed pictures: a data set decoded and resized once, as one memory-mapped array of bytes with its index.

A pack is a folder with two files:

- ``pictures.u8``: N x H x W x C bytes, row after row, channels BGR, nothing else;
- ``index.json``: format, shape, names, labels, the row of each name, the decoding part of the preprocessing, what was
  left out and why, and the SHA-256 of every `chunk` rows.

It holds what comes after decode and resize; mean, scale and crops are applied when it is read, so that one pack serves
every preprocessing with the same decoding.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caffeport.data.source import Item, Label, Source
from caffeport.errors import Refused, UnreadableFile
from caffeport.transform.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT: Final = "caffeport-pack-1"
PICTURES: Final = "pictures.u8"
INDEX: Final = "index.json"
MAX_INDEX_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Index:
    """What ``index.json`` says."""

    shape: tuple[int, int, int, int]
    keys: list[str]
    rows: list[int]
    labels: list[Label]
    decoding: dict[str, Any]
    left_out: list[dict[str, str]]
    chunk: int
    sha256: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {"format": FORMAT} | plain | {"shape": list(self.shape)}


class PackedPictures(Source):
    """A pack as a source: items are (H, W, C) views into the mapped file, and `array` is all of it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a pack. Raises UnreadableFile where index and pictures do not fit together."""
        self.name = os.fspath(path)
        self.index = _read_index(Path(path))
        self.keys: Sequence[str] = self.index.keys
        expected = _product(self.index.shape)
        try:
            size = (Path(path) / PICTURES).stat().st_size
        except OSError as error:
            raise UnreadableFile(self.name, f"{PICTURES} cannot be read ({error.strerror})") from None
        if size != expected:
            raise UnreadableFile(
                self.name, f"{PICTURES} holds {size} bytes", f"its index says {expected}", "pack it anew"
            )
        self._mapped: NDArray[np.uint8] | None = None

    @property
    def array(self) -> NDArray[np.uint8]:
        """(N, H, W, C), mapped and read-only; row `index.rows[i]` belongs to `keys[i]`."""
        import numpy as np

        if self._mapped is None:
            self._mapped = np.memmap(Path(self.name) / PICTURES, np.uint8, "r", shape=self.index.shape)
        return self._mapped

    def read(self, index: int) -> Item:
        """One picture, already resized."""
        import numpy as np

        picture = np.asarray(self.array[self.index.rows[index]])
        return Item(self.keys[index], picture, self.index.labels[index], f"{self.name}: {self.keys[index]!r}")

    def labels(self) -> list[Label]:
        """Every label, from the index."""
        return list(self.index.labels)

    def check(self, prep: Preprocessing) -> None:
        """Raise Refused where the pack was decoded or resized otherwise than `prep` says."""
        wanted = prep.decoding()
        other = [name for name, value in wanted.items() if self.index.decoding.get(name) != value]
        if other:
            said = ", ".join(f"{name} {self.index.decoding.get(name)}, wanted {wanted[name]}" for name in other)
            raise Refused(self.name, f"was packed with {said}", "the same decoding and resize", "pack it anew")

    def verify(self) -> None:
        """Raise UnreadableFile where the pictures no longer have their checksums (reads all of them)."""
        for number, expected in enumerate(self.index.sha256):
            start = number * self.index.chunk
            rows = self.array[start : start + self.index.chunk]
            if hashlib.sha256(rows.tobytes()).hexdigest() != expected:
                last = start + len(rows) - 1
                raise UnreadableFile(self.name, f"rows {start} to {last} have changed", todo="pack it anew")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}  # each process maps the file for itself


def is_pack(path: str | os.PathLike[str]) -> bool:
    """Whether a folder looks like a pack."""
    return (Path(path) / INDEX).is_file() and (Path(path) / PICTURES).is_file()


def _read_index(path: Path) -> Index:
    """Every field checked: an index is read by other people's programs too. Raises UnreadableFile."""
    where = os.fspath(path / INDEX)
    try:
        if (path / INDEX).stat().st_size > MAX_INDEX_BYTES:
            raise UnreadableFile(where, "is larger than 1 GiB")
        plain = json.loads((path / INDEX).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableFile(where, f"is no index of a pack ({error})") from None
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT or set(plain) != set(Index.__slots__):
        raise UnreadableFile(where, "is no index of a pack of this format", FORMAT)
    shape, keys, rows, labels = (plain[name] for name in ("shape", "keys", "rows", "labels"))
    good = (
        _integers(shape) and len(shape) == 4 and min(shape) > 0 and _integers(rows) and isinstance(plain["chunk"], int)
    )
    good = good and all(isinstance(plain[name], list) for name in ("keys", "labels", "left_out", "sha256"))
    good = good and isinstance(plain["decoding"], dict) and len(keys) == len(rows) == len(labels)
    good = good and all(0 <= row < shape[0] for row in rows) and plain["chunk"] > 0
    if (
        not good
        or not all(isinstance(key, str) for key in keys)
        or len(plain["sha256"]) != -(-shape[0] // plain["chunk"])
    ):
        raise UnreadableFile(where, "contradicts itself", "names, rows and labels of one length, within the shape")
    plain["shape"] = tuple(shape)
    plain["labels"] = [_label(label, where) for label in labels]
    return Index(**plain)


def _label(value: Any, where: str) -> Label:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return None if value is None else float(value)
    if isinstance(value, list) and all(isinstance(part, (int, float)) for part in value):
        return tuple(float(part) for part in value)
    raise UnreadableFile(where, f"has the label {value!r}", "a number, a list of numbers or null")


def _integers(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total

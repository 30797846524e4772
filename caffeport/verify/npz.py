"""An .npz file read without trust: every header is checked against the file before an array is allocated."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from caffeport.errors import BadCase

#: The most bytes that the arrays of one file may have together, unpacked.
MOST_BYTES = 4 << 30
#: Files whose arrays have fewer bytes than this together are kept in memory once they were read.
KEEP_BYTES = 64 << 20
MOST_AXES = 32
_KINDS = frozenset("fiub")
#: What zipfile, its decompressors and numpy's reader of headers raise on files that are damaged or made to hurt.
_BROKEN = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, RuntimeError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, tokenize.TokenError),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one array claims to be."""

    shape: tuple[int, ...]
    dtype: np.dtype
    bytes: int


class Npz(Mapping[str, np.ndarray]):
    """The arrays of an .npz by name, read when asked for; `entries` tells shapes and types without reading them.

    Raises:
        BadCase: the file is missing or broken, holds pickled objects, or claims more than it has.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, np.ndarray] = {}
        try:
            self._archive = zipfile.ZipFile(path)
            self.entries = dict(self._entry(info) for info in self._archive.infolist())
        except _BROKEN as error:
            raise self.broken(error) from None
        self.bytes = sum(entry.bytes for entry in self.entries.values())
        if self.bytes > MOST_BYTES:
            raise BadCase(str(path), f"unpacks to {self.bytes} bytes", f"at most {MOST_BYTES} are read")

    def broken(self, error: Exception) -> BadCase:
        """The refusal for a file that cannot be read."""
        return BadCase(str(self.path), f"cannot be read ({error})", "an .npz of plain arrays is needed")

    def _entry(self, info: zipfile.ZipInfo) -> tuple[str, Entry]:
        name = info.filename.removesuffix(".npy")
        with self._archive.open(info) as stream:
            shape, dtype, start = _header(stream)
        if dtype.hasobject:
            raise BadCase(str(self.path), f"holds pickled objects in {name!r}", "plain arrays only: a pickle runs code")
        if dtype.kind not in _KINDS or len(shape) > MOST_AXES:
            raise BadCase(str(self.path), f"{name!r} is of type {dtype} and {len(shape)} axes", "numbers are read")
        size = prod(shape) * dtype.itemsize
        if size != info.file_size - start:
            claimed, held = f"{name!r} claims shape {shape} of {dtype}, {size} bytes", info.file_size - start
            raise BadCase(str(self.path), f"{claimed}, and holds {held}", "", "the file is damaged or hostile")
        return name, Entry(shape, dtype, size)

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self._kept:
            return self._kept[name]
        entry = self.entries[name]
        try:
            with self._archive.open(f"{name}.npy") as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
        except _BROKEN as error:
            raise self.broken(error) from None
        if array.shape != entry.shape:
            raise BadCase(str(self.path), f"{name!r} changed while it was read")
        if self.bytes <= KEEP_BYTES:
            self._kept[name] = array
        return array

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and length of an .npy header, of the two versions that numpy writes for plain arrays."""
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array header of version {version}")
    shape, _, dtype = read(stream)
    return shape, dtype, stream.tell()

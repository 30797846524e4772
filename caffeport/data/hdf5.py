"""HDF5Data's sources: a list file that names .h5 files, each with one dataset per top of the layer.

Mirrors src/caffe/layers/hdf5_data_layer.cpp of BVLC Caffe. Rows reach the net as they are.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caffeport.data.source import Item, Label, Source
from caffeport.errors import Refused, UnreadableFile
from caffeport.transform.needs import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_LIST_BYTES: Final = 1 << 30
_MOST_EXPANSION: Final = 1100  # deflate reaches 1032


class Hdf5Source(Source):
    """The rows of one or more .h5 files: dataset `data` as the input, `label` (or None) as the label."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        data: str = "data",
        label: str | None = "label",
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        """Open a list file, or one .h5 file.

        `folder` is where relative names in the list are looked for: the list's own folder unless told (Caffe: the
        folder it was started in). Raises UnreadableFile, and Refused where datasets are missing or disagree.
        """
        self.name, self._names = os.fspath(source), (data, label)
        files = self._files(Path(source), Path(source).parent if folder is None else Path(folder))
        checked = [(file, self._rows(file)) for file in files]
        self._parts = tuple((file, rows) for file, rows in checked)
        self._ends = list(accumulate(rows for _, rows in self._parts))
        self.keys: Sequence[str] = [f"{Path(file).name}:{row}" for file, rows in self._parts for row in range(rows)]

    def read(self, index: int) -> Item:
        """One row, ready for the net."""
        part = bisect_right(self._ends, index)
        file, row = self._parts[part][0], index - (self._ends[part] - self._parts[part][1])
        where = f"{file}: row {row}"
        data, label = self._names
        with _open(file) as opened:
            values = _row(opened, data, row, where)
            return Item(
                self.keys[index],
                values,
                None if label is None else _label(_row(opened, label, row, where)),
                where,
                True,
            )

    def labels(self) -> list[Label]:
        """Every label, without reading a row of data."""
        name = self._names[1]
        if name is None:
            return [None] * len(self)
        found: list[Label] = []
        for file, rows in self._parts:
            with _open(file) as opened:
                found += [_label(_row(opened, name, row, f"{file}: row {row}")) for row in range(rows)]
        return found

    def _files(self, source: Path, folder: Path) -> list[str]:
        """The .h5 files that the list names, or the file itself."""
        try:
            with open(source, "rb") as stream:
                if stream.read(8) == b"\x89HDF\r\n\x1a\n":
                    return [os.fspath(source)]
            names = read_text(source).split("\n")
        except OSError as error:
            raise UnreadableFile(self.name, f"cannot be read ({error.strerror})") from None
        files = [os.fspath(folder / name.strip()) for name in names if name.strip()]
        if not files:
            raise UnreadableFile(self.name, "names no HDF5 file")
        return files

    def _rows(self, file: str) -> int:
        """The number of rows, equal in all datasets that are read."""
        with _open(file) as opened:
            sets = {name: _dataset(opened, name, file) for name in self._names if name is not None}
            counts = {name: int(dataset.shape[0]) for name, dataset in sets.items()}
        if len(set(counts.values())) != 1:
            raise Refused(file, f"datasets differ in rows: {counts}", "all datasets must have the same number of rows")
        return next(iter(counts.values()))


def read_text(path: str | os.PathLike[str]) -> str:
    """A text file (UTF-8, with or without a byte-order mark). Raises UnreadableFile."""
    name = os.fspath(path)
    try:
        if os.stat(name).st_size > MAX_LIST_BYTES:
            raise UnreadableFile(name, "is larger than 1 GiB", "that is no list of pictures")
        return Path(name).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(name, f"is no UTF-8 text (byte {error.start})") from None
    except (OSError, ValueError) as error:
        raise UnreadableFile(name, f"cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _open(file: str) -> Any:
    h5py = need("h5py", file)
    try:
        return h5py.File(file, "r")
    except (OSError, ValueError) as error:
        raise UnreadableFile(file, f"cannot be opened as HDF5 ({error})") from None


def _dataset(opened: Any, name: str, where: str) -> Any:
    """A dataset of numbers that lies in this file: links and storage outside would read the user's other files."""
    h5py = need("h5py", where)
    if not isinstance(opened.get(name, getlink=True), h5py.HardLink):
        raise Refused(where, f"has no dataset {name!r} of its own", f"it has {', '.join(opened) or 'none'}")
    dataset = opened[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise Refused(where, f"{name!r} is no plain dataset", "the values must lie in the file itself")
    if dataset.dtype.kind not in "fiu" or dataset.ndim < 1:
        raise Refused(where, f"{name!r} holds {dataset.dtype} of shape {dataset.shape}", "rows of numbers are needed")
    # Chunks that were never written cost no bytes: without this, a small file could claim any number of values.
    if dataset.nbytes > _MOST_EXPANSION * (os.path.getsize(opened.filename) + 4096):
        raise Refused(where, f"{name!r} claims {dataset.nbytes} bytes in a file of {os.path.getsize(opened.filename)}")
    return dataset


def _row(opened: Any, name: str, row: int, where: str) -> NDArray[np.float32]:
    import numpy as np

    dataset = _dataset(opened, name, where)
    try:
        return np.asarray(dataset[row], np.float32)
    except (OSError, ValueError) as error:
        raise UnreadableFile(where, f"{name!r} cannot be read ({error})") from None


def _label(values: NDArray[np.float32]) -> Label:
    flat = values.reshape(-1)
    return float(flat[0]) if flat.size == 1 else tuple(float(value) for value in flat)

"""Weights and solver states that Caffe saved as HDF5.

`/data/<layer>/<k>` holds blob k of a layer; a '/' in a layer's name makes nested groups. A parameter that another layer
shares and owns is left out. Mirrors `Net::ToHDF5` (net.cpp) and `SnapshotSolverStateToHDF5` (sgd_solver.cpp).
A hostile file gets no further than its headers: no links to other files, no filters but gzip, plain floats only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caffeport.caffe.blob import MAX_AXES, Blob
from caffeport.errors import CaffeportError, Refused, UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_DEPTH: Final = 16
_MAX_OBJECTS: Final = 100_000
_MAX_TEXT: Final = 65_536
_GZIP_RATIO: Final = 1_100
"""Deflate cannot shrink data more than 1,032 times: a dataset beyond that is not backed by the file."""


class Hdf5Blob(Blob):
    """A dataset of an HDF5 file, read when asked for."""

    def __init__(self, file: str, path: str, shape: tuple[int, ...], dtype: str, diff_path: str | None = None) -> None:
        self._file, self._path, self._shape, self._dtype, self._diff_path = file, path, shape, dtype, diff_path

    @property
    def shape(self) -> tuple[int, ...]:
        """As the file states it."""
        return self._shape

    @property
    def dtype(self) -> str:
        """The type of the values in the file: float16, float32 or float64."""
        return self._dtype

    @property
    def has_diff(self) -> bool:
        """Whether gradients were saved with the values."""
        return self._diff_path is not None

    def numpy(self) -> NDArray[np.float32] | NDArray[np.float64]:
        """The values as an array of their own: float64 if the file holds doubles, else float32."""
        return self._read(self._path)

    def diff(self) -> NDArray[np.float32] | NDArray[np.float64] | None:
        """The gradients that were saved with the values, or None."""
        return None if self._diff_path is None else self._read(self._diff_path)

    def _read(self, path: str) -> NDArray[np.float32] | NDArray[np.float64]:
        import numpy as np

        with _opened(self._file) as root:
            dataset = root[path]
            _check_dataset(self._file, dataset)
            if dataset.shape != self._shape:
                raise UnreadableFile(f"{self._file}: {path}", f"has shape {dataset.shape} instead of {self._shape}")
            out: NDArray[np.float32] = np.empty(self._shape, np.float64 if self._dtype == "float64" else np.float32)
            if out.size:
                dataset.read_direct(out)
            return out


class AbsentBlob(Blob):
    """A parameter that the file leaves out, because another layer shares and owns it."""

    def __init__(self, where: str) -> None:
        self._where = where

    @property
    def shape(self) -> tuple[int, ...]:
        """Not known: (0,)."""
        return (0,)

    @property
    def dtype(self) -> str:
        """Always float32."""
        return "float32"

    @property
    def present(self) -> bool:
        """Always False."""
        return False

    @property
    def has_diff(self) -> bool:
        """Always False."""
        return False

    def numpy(self) -> NDArray[np.float32]:
        """Raise Refused: there are no values."""
        raise Refused(self._where, "is not in the file", "only a parameter that another layer shares may be left out")

    def diff(self) -> None:
        """Nothing."""
        return


def read_layers(file: str) -> dict[str, tuple[Blob, ...]]:
    """The blobs of every layer in a .caffemodel.h5. Raises UnreadableFile."""
    with _opened(file) as root:
        if "data" not in root or root.get("data", getclass=True).__name__ != "Group":
            raise UnreadableFile(
                file, "holds no group /data", "an HDF5 file that Caffe wrote has one", "is it a data set?"
            )
        datasets = dict(_walk(file, root["data"], "", 0, [0]))
        diffs = dict(_walk(file, root["diff"], "", 0, [0])) if "diff" in root else {}
    layers: dict[str, dict[int, Blob]] = {}
    for path, (shape, dtype) in datasets.items():
        name, _, index = path.rpartition("/")
        if not (name and index.isascii() and index.isdigit() and len(index) < 5):
            raise UnreadableFile(f"{file}: /data/{path}", "is no blob of a layer", "/data/<layer>/<number>")
        diff = f"diff/{path}" if diffs.get(path, (None,))[0] == shape else None
        layers.setdefault(name, {})[int(index)] = Hdf5Blob(file, f"data/{path}", shape, dtype, diff)
    return {
        name: tuple(blobs.get(k) or AbsentBlob(f"{file}: /data/{name}/{k}") for k in range(max(blobs) + 1))
        for name, blobs in layers.items()
    }


def read_solverstate(file: str) -> tuple[int, str, int, tuple[Blob, ...]]:
    """Iteration, weight file, step and history of a .solverstate.h5. Raises UnreadableFile."""
    with _opened(file) as root:
        if "iter" not in root or "history" not in root:
            raise UnreadableFile(file, "is no solver state: it has no /iter and /history")
        found = dict(_walk(file, root["history"], "", 0, [0]))
        numbers = {name: _scalar(file, root, name) for name in ("iter", "current_step")}
        net = _text(file, root, "learned_net")
    if sorted(found) != sorted(str(k) for k in range(len(found))):
        raise UnreadableFile(f"{file}: /history", f"holds {sorted(found)[:5]}", "datasets numbered from 0 on")
    history = tuple(Hdf5Blob(file, f"history/{k}", *found[str(k)]) for k in range(len(found)))
    return numbers["iter"], net, numbers["current_step"], history


@contextmanager
def _opened(file: str) -> Iterator[Any]:
    """The open file; whatever the HDF5 library finds wrong with it becomes UnreadableFile."""
    try:
        import h5py
    except ImportError as error:
        raise UnreadableFile(
            file, "is an HDF5 file", todo=f"reading it needs h5py: pip install h5py ({error})"
        ) from None
    try:
        with h5py.File(file, "r") as root:
            yield root
    except CaffeportError:
        raise
    # h5py passes the library's errors on as whichever of these it finds fitting.
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, MemoryError, OverflowError, UnicodeError) as error:
        raise UnreadableFile(file, f"is a broken HDF5 file ({error})") from error


def _walk(
    file: str, group: Any, path: str, depth: int, seen: list[int]
) -> Iterator[tuple[str, tuple[tuple[int, ...], str]]]:
    """Path, shape and type of every dataset below a group, in the order of creation where the file keeps it."""
    import h5py

    if depth > _MAX_DEPTH:
        raise UnreadableFile(f"{file}: {path}", f"groups nest deeper than {_MAX_DEPTH}")
    for name in group:
        seen[0] += 1
        if seen[0] > _MAX_OBJECTS:
            raise UnreadableFile(file, f"holds more than {_MAX_OBJECTS} objects")
        below = f"{path}/{name}" if path else name
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnreadableFile(f"{file}: {below}", "is a link", "data that lie in the file itself")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _walk(file, item, below, depth + 1, seen)
        else:
            _check_dataset(file, item)
            yield below, (tuple(item.shape), f"float{8 * item.dtype.itemsize}")


def _check_dataset(file: str, dataset: Any) -> None:
    """Refuse anything but plain floats that lie in this file."""
    import h5py

    where = f"{file}: {getattr(dataset, 'name', '?')}"
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise UnreadableFile(where, "is no array")
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (2, 4, 8):
        raise UnreadableFile(where, f"holds {dataset.dtype}", "float16, float32 or float64")
    if dataset.is_virtual or dataset.external:
        raise UnreadableFile(where, "takes its values from another file", "data that lie in the file itself")
    if dataset.compression not in (None, "gzip") or len(dataset.shape) > MAX_AXES:
        raise UnreadableFile(where, f"is packed by {dataset.compression!r} or has too many axes", "gzip or nothing")
    filters = dataset.id.get_create_plist().get_nfilters()
    ratio = _GZIP_RATIO if filters else 1
    size, stored = math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if size > stored * ratio or stored > Path(file).stat().st_size:
        raise UnreadableFile(where, f"claims {size} bytes; the file holds {stored} for it")


def _scalar(file: str, root: Any, name: str) -> int:
    """A whole number that Caffe wrote as a dataset of one value; 0 where it is missing."""
    dataset = root.get(name)
    if dataset is None:
        return 0
    if getattr(dataset, "shape", None) not in ((), (1,)) or dataset.dtype.kind not in "iu" or dataset.external:
        raise UnreadableFile(f"{file}: /{name}", "is no whole number")
    return int(dataset[()].reshape(-1)[0] if dataset.shape else dataset[()])


def _text(file: str, root: Any, name: str) -> str:
    """A string of fixed length; empty where it is missing."""
    dataset = root.get(name)
    if dataset is None:
        return ""
    kind = getattr(dataset, "dtype", None)
    if kind is None or kind.kind != "S" or dataset.shape != () or not 0 < kind.itemsize <= _MAX_TEXT:
        raise UnreadableFile(f"{file}: /{name}", "is no string of fixed length")
    return bytes(dataset[()]).rstrip(b"\0").decode("utf-8", "replace")

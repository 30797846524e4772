"""One parameter blob: its shape at once, its values when asked for.

Mirrors `Blob::FromProto` and `Blob::ShapeEquals` (blob.cpp) of BVLC Caffe. A BlobProto's values come as packed
floats (in one piece or several), single floats, doubles, or NVCaffe's raw bytes; its shape as a list or four numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from caffeport.caffe import wire as w
from caffeport.caffe.wire import Piece, Wire
from caffeport.errors import UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_AXES: Final = 32
"""Caffe's own limit on the axes of a blob (kMaxBlobAxes in blob.hpp)."""

# Field numbers of proto/caffe.proto, written out so that opening a file need not read the schema; a test compares them.
BLOB_NUM, BLOB_WIDTH, BLOB_DATA, BLOB_DIFF, BLOB_SHAPE, BLOB_DOUBLE, BLOB_DOUBLE_DIFF = 1, 4, 5, 6, 7, 8, 9
BLOB_RAW_TYPE, BLOB_RAW_DIFF_TYPE, BLOB_RAW, BLOB_RAW_DIFF = 10, 11, 12, 13
BLOB_PAYLOADS: Final = frozenset((BLOB_DATA, BLOB_DIFF, BLOB_DOUBLE, BLOB_DOUBLE_DIFF, BLOB_RAW, BLOB_RAW_DIFF))
_RAW_DTYPES: Final = {0: "float64", 1: "float32", 2: "float16"}
_ITEM: Final = {"float16": ("<f2", 2), "float32": ("<f4", 4), "float64": ("<f8", 8)}


class Blob(ABC):
    """One parameter blob of a layer.

    A `legacy` shape is stated by num, channels, height and width: always four axes, which Caffe matches to a parameter
    of fewer axes too (see `fits`).
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """As the file states it."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """The type of the values in the file: float16, float32 or float64."""

    @property
    def legacy(self) -> bool:
        """Whether the shape is stated by num, channels, height and width."""
        return False

    @property
    def present(self) -> bool:
        """Whether the file holds it: HDF5 files leave out a parameter that another layer shares and owns."""
        return True

    @property
    @abstractmethod
    def has_diff(self) -> bool:
        """Whether gradients were saved with the values."""

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether Caffe would load this blob into a parameter of that shape (Blob::ShapeEquals)."""
        wanted = tuple(shape)
        if self.legacy and len(wanted) <= 4:
            return (1,) * (4 - len(wanted)) + wanted == self.shape
        return wanted == self.shape

    @abstractmethod
    def numpy(self) -> NDArray[np.float32] | NDArray[np.float64]:
        """The values as an array of their own: float64 if the file holds doubles, else float32."""

    @abstractmethod
    def diff(self) -> NDArray[np.float32] | NDArray[np.float64] | None:
        """The gradients that were saved with the values, or None."""

    def buffers(self) -> list[memoryview] | None:
        """The file's own little-endian float32 bytes, in order and not copied; None if it holds them otherwise."""
        return None

    def ranges(self) -> tuple[str, list[tuple[int, int]]] | None:
        """Where those bytes lie: the file, and offset and length of each piece; None where `buffers` is."""
        return None


class _Run(NamedTuple):
    """Values in the file: `items` of them from byte `begin` on, `stride` bytes apart."""

    begin: int
    items: int
    stride: int


_Values = tuple[str, tuple[_Run, ...]]
"""The type of the values, and where they lie."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a BlobProto says, its values as places in the file."""

    shape: tuple[int, ...]
    legacy: bool
    values: _Values
    diffs: _Values


class WireBlob(Blob):
    """A blob in a mapped protobuf file. Raises UnreadableFile when its shape and its values disagree."""

    def __init__(self, wire: Wire, begin: int, end: int, label: str) -> None:
        self._wire, self._begin, self._end, self._label = wire, begin, end, label

    @cached_property
    def _layout(self) -> _Layout:
        try:
            return _read_layout(self._wire, self._begin, self._end)
        except UnreadableFile as error:
            raise UnreadableFile(f"{error.where}: {self._label}", error.what, error.allowed, error.todo) from None

    @property
    def shape(self) -> tuple[int, ...]:
        """As the file states it."""
        return self._layout.shape

    @property
    def legacy(self) -> bool:
        """Whether the shape is stated by num, channels, height and width."""
        return self._layout.legacy

    @property
    def dtype(self) -> str:
        """The type of the values in the file."""
        return self._layout.values[0]

    @property
    def has_diff(self) -> bool:
        """Whether gradients were saved with the values."""
        return bool(self._layout.diffs[1])

    def numpy(self) -> NDArray[np.float32] | NDArray[np.float64]:
        """The values as an array of their own: float64 if the file holds doubles, else float32."""
        return self._array(*self._layout.values)

    def diff(self) -> NDArray[np.float32] | NDArray[np.float64] | None:
        """The gradients that were saved with the values, or None."""
        return self._array(*self._layout.diffs) if self.has_diff else None

    def buffers(self) -> list[memoryview] | None:
        """The file's own little-endian float32 bytes, in order and not copied; None if it holds them otherwise."""
        found = self.ranges()
        if found is None:
            return None
        view = memoryview(self._wire.data)
        return [view[begin : begin + size] for begin, size in found[1]]

    def ranges(self) -> tuple[str, list[tuple[int, int]]] | None:
        """Where those bytes lie; None for doubles, FP16 and unpacked values."""
        dtype, runs = self._layout.values
        if dtype != "float32" or any(run.stride != 4 for run in runs):
            return None
        return self._wire.file, [(run.begin, 4 * run.items) for run in runs]

    def _array(self, dtype: str, runs: tuple[_Run, ...]) -> NDArray[np.float32] | NDArray[np.float64]:
        import numpy as np

        code, _ = _ITEM[dtype]
        out: NDArray[np.float32] = np.empty(self.size, np.float64 if dtype == "float64" else np.float32)
        at = 0
        for run in runs:
            out[at : at + run.items] = np.ndarray((run.items,), code, self._wire.data, run.begin, (run.stride,))
            at += run.items
        return out.reshape(self.shape)


def _read_layout(wire: Wire, begin: int, end: int) -> _Layout:
    """Read a BlobProto: its shape, and where its values lie. Raises UnreadableFile."""
    shape: list[int] = []
    old_shape: dict[int, int] = {}
    raw_types = {BLOB_RAW_TYPE: 1, BLOB_RAW_DIFF_TYPE: 1}
    runs: dict[int, list[_Run]] = {}
    for piece in wire.fields(begin, end):
        number = piece.number
        if number in (BLOB_DATA, BLOB_DIFF):
            runs.setdefault(number, []).append(_run(wire, piece, 4, w.FIXED32))
        elif number in (BLOB_DOUBLE, BLOB_DOUBLE_DIFF):
            runs.setdefault(number, []).append(_run(wire, piece, 8, w.FIXED64))
        elif number in (BLOB_RAW, BLOB_RAW_DIFF) and piece.kind == w.BYTES:
            runs[number] = [_Run(piece.begin, piece.end - piece.begin, 1)]
        elif number in raw_types and piece.kind == w.VARINT:
            raw_types[number] = wire.number_in(piece)
        elif number == BLOB_SHAPE and piece.kind == w.BYTES:
            shape += _dims(wire, piece)
        elif BLOB_NUM <= number <= BLOB_WIDTH and piece.kind == w.VARINT:
            old_shape[number] = w.signed(wire.number_in(piece))
    dims = tuple(old_shape.get(i, 0) for i in range(BLOB_NUM, BLOB_WIDTH + 1)) if old_shape else tuple(shape)
    values = _choose(wire, runs, (BLOB_DOUBLE, BLOB_DATA, BLOB_RAW), raw_types[BLOB_RAW_TYPE], begin)
    diffs = _choose(wire, runs, (BLOB_DOUBLE_DIFF, BLOB_DIFF, BLOB_RAW_DIFF), raw_types[BLOB_RAW_DIFF_TYPE], begin)
    _check_counts(str(wire.where(begin)), dims, values, diffs)
    return _Layout(dims, bool(old_shape), values, diffs)


def _run(wire: Wire, piece: Piece, width: int, kind: int) -> _Run:
    """The place of a packed array, or of a run of single values."""
    span = piece.end - piece.begin
    if piece.kind == kind:
        return _Run(piece.begin, (span + 1) // (width + 1), width + 1)
    if piece.kind != w.BYTES or span % width:
        wire.fail(piece.tag, f"field {piece.number} of a blob is no array of {width}-byte numbers")
    return _Run(piece.begin, span // width, width)


def _dims(wire: Wire, piece: Piece) -> list[int]:
    """The axes in a BlobShape, packed or not."""
    dims: list[int] = []
    for inner in wire.fields(piece.begin, piece.end):
        if inner.number == 1 and inner.kind in (w.VARINT, w.BYTES):
            if inner.end - inner.begin > 10 * MAX_AXES:
                wire.fail(inner.tag, f"a blob has more than {MAX_AXES} axes")
            dims += [w.signed(value) for value in wire.varints_in(inner)]
        if len(dims) > MAX_AXES:
            wire.fail(inner.tag, f"a blob has more than {MAX_AXES} axes")
    return dims


def _choose(wire: Wire, runs: dict[int, list[_Run]], order: tuple[int, int, int], raw_type: int, at: int) -> _Values:
    """The values that Caffe takes: doubles before floats, as Blob::FromProto has it; then NVCaffe's raw bytes."""
    doubles, floats, raw = order
    for number, dtype in ((doubles, "float64"), (floats, "float32")):
        if any(run.items for run in runs.get(number, ())):
            return dtype, tuple(runs[number])
    if raw not in runs:
        return "float32", ()
    if raw_type not in _RAW_DTYPES:
        wire.fail(at, f"a blob's raw data is of type {raw_type}, which is none of {sorted(_RAW_DTYPES.values())}")
    dtype = _RAW_DTYPES[raw_type]
    width, (found,) = _ITEM[dtype][1], runs[raw]
    if found.items % width:
        wire.fail(found.begin, f"raw data of {found.items} bytes does not divide into {dtype} values")
    return dtype, (_Run(found.begin, found.items // width, width),)


def _check_counts(where: str, shape: tuple[int, ...], values: _Values, diffs: _Values) -> None:
    """Refuse a shape that its values do not fill. Nothing is allocated before this."""
    size = math.prod(shape)
    if min(shape, default=0) < 0:
        raise UnreadableFile(where, f"shape {shape} has a negative axis")
    for what, (_, runs) in (("values", values), ("gradients", diffs)):
        count = sum(run.items for run in runs)
        if count != size and (runs or what == "values"):
            raise UnreadableFile(where, f"shape {shape} needs {size} values; the file holds {count} {what}")

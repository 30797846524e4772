"""A tree and arrays -> the binary files that Caffe reads: nets with weights of any era, solver states, mean images.

Lengths are computed first and arrays copied last, piece by piece, so a net of any size is written in little memory;
arrays that lie in a mapped file go from there straight into the new one.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from caffeport.caffe import wire as w
from caffeport.caffe.binary import Raw
from caffeport.caffe.blob import Blob
from caffeport.caffe.fields import Fields
from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.tree import Message, Where
from caffeport.errors import Refused, WeightsMismatch
from caffeport.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = Blob | NDArray[np.float32] | NDArray[np.float64]

_LAYERS: Final = frozenset({"LayerParameter", "V1LayerParameter", "V0LayerParameter"})
_FLOATS: Final = {"float": "<f", "double": "<d"}


class ArrayBlob(Blob):
    """A NumPy array as a blob, to be written; `legacy` writes its shape as num, channels, height and width."""

    def __init__(self, array: NDArray[np.float32] | NDArray[np.float64], legacy: bool = False) -> None:
        self._array, self._legacy = array, legacy

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's own."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> str:
        """float64 if the array holds doubles, else float32."""
        return "float64" if self._array.dtype.itemsize == 8 else "float32"

    @property
    def legacy(self) -> bool:
        """Whether the shape is written by num, channels, height and width."""
        return self._legacy

    @property
    def has_diff(self) -> bool:
        """Always False."""
        return False

    def numpy(self) -> NDArray[np.float32] | NDArray[np.float64]:
        """The array, in the type that is written."""
        return self._array.astype(self.dtype, copy=False)

    def diff(self) -> None:
        """Nothing."""
        return


class _Parts:
    """Pieces of a message in order: bytes, and blobs whose values are fetched when they are written."""

    def __init__(self) -> None:
        self.items: list[bytes | Blob] = []
        self.size = 0

    def add(self, data: bytes) -> None:
        self.items.append(data)
        self.size += len(data)

    def add_values(self, blob: Blob) -> None:
        self.items.append(blob)
        self.size += blob.size * (8 if blob.dtype == "float64" else 4)

    def nest(self, number: int, inner: _Parts) -> None:
        self.add(_tag(number, w.BYTES) + _varint(inner.size))
        self.items += inner.items
        self.size += inner.size

    def write(self, path: str | os.PathLike[str]) -> None:
        with replacing(path) as part, open(part, "wb") as stream:
            for item in self.items:
                for data in (item,) if isinstance(item, bytes) else _values(item):
                    stream.write(data)


def write_binary(
    message: Message,
    weights: Mapping[str, Sequence[Array]],
    path: str | os.PathLike[str],
    schema_type: str = "NetParameter",
) -> None:
    """Write a message with the arrays of its layers, by layer name, as a .caffemodel (or, without any, a binary net).

    Works for nets of every era: arrays go where the era keeps them, in 4-D legacy shapes for V0 and V1. Raises Refused
    where a field has no place in the schema, WeightsMismatch where there are weights for a layer that is not there.
    """
    encoder = _Encoder(weights)
    parts = encoder.message(message, schema_type)
    lost = sorted(name for name in weights if weights[name] and name not in encoder.used)
    if lost:
        raise WeightsMismatch(os.fspath(path), f"there are weights for {lost[:5]}, which the net does not have")
    parts.write(path)


def write_mean(mean: NDArray[np.float32], path: str | os.PathLike[str]) -> None:
    """Write a mean image (C, H, W) as .binaryproto, in the legacy (1, C, H, W) form of Caffe's own tools."""
    _blob_parts(ArrayBlob(mean, legacy=True)).write(path)


def write_solverstate(
    path: str | os.PathLike[str], iteration: int, learned_net: str, current_step: int, history: Iterable[Array]
) -> None:
    """Write a .solverstate; mirrors SGDSolver::SnapshotSolverStateToBinaryProto (sgd_solver.cpp)."""
    number = {name: known.number for name, known in Schema.load().message("SolverState").by_name.items()}
    parts = _Parts()
    parts.add(_tag(number["iter"], w.VARINT) + _varint(iteration))
    parts.add(_bytes(number["learned_net"], learned_net.encode()))
    for array in history:
        parts.nest(number["history"], _blob_parts(_as_blob(array, legacy=False)))
    parts.add(_tag(number["current_step"], w.VARINT) + _varint(current_step))
    parts.write(path)


class _Encoder:
    """Turns trees into parts, and remembers whose weights were placed."""

    def __init__(self, weights: Mapping[str, Sequence[Array]]) -> None:
        self.weights, self.used = weights, set[str]()

    def message(self, message: Message, name: str) -> _Parts:
        schema = Schema.load()
        fields = Fields(message, name, str(message.where))
        layer_type = fields.str("type", "") if name == "LayerParameter" else ""
        parts = _Parts()
        for field_name in dict.fromkeys(field.name for field in message.fields):
            if field_name.startswith("#"):
                for field in message.all(field_name):
                    parts.add(_unknown(int(field_name[1:]), field.value, field.where))
                continue
            if field_name == "blobs" and name in _LAYERS:
                continue
            known = schema.field_type(name, field_name)
            if known is None or (layer_type and schema.layer_field(known.number, layer_type) != known):
                raise fields.refuse(
                    field_name, "has no number in the schema", "fields of caffe.proto", "write text instead"
                )
            if schema.kind(known.type) == "message":
                for inner in message.messages(field_name):
                    parts.nest(known.number, self.message(inner, known.type))
            else:
                parts.add(_scalars(fields, known))
        if name in _LAYERS:
            self._place_blobs(fields, name, parts)
        return parts

    def _place_blobs(self, fields: Fields, name: str, parts: _Parts) -> None:
        layer = fields.str("name", "")
        self.used.add(layer)
        number = Schema.load().message(name).by_name["blobs"].number
        for array in self.weights.get(layer, ()):
            parts.nest(number, _blob_parts(_as_blob(array, legacy=name != "LayerParameter")))


def _as_blob(array: Array, legacy: bool) -> Blob:
    return array if isinstance(array, Blob) else ArrayBlob(array, legacy)


def _blob_parts(blob: Blob) -> _Parts:
    """A BlobProto: shape first, as Caffe's own files have it, then the values, packed."""
    number = {name: known.number for name, known in Schema.load().message("BlobProto").by_name.items()}
    parts = _Parts()
    if blob.legacy and len(blob.shape) <= 4:
        shape = (1,) * (4 - len(blob.shape)) + blob.shape
        for name, dim in zip(("num", "channels", "height", "width"), shape, strict=True):
            parts.add(_tag(number[name], w.VARINT) + _varint(dim))
    else:
        parts.add(_bytes(number["shape"], _bytes(1, b"".join(map(_varint, blob.shape)))))
    double = blob.dtype == "float64"
    values = _Parts()
    values.add_values(blob)
    parts.nest(number["double_data" if double else "data"], values)
    return parts


def _values(blob: Blob) -> Iterator[bytes | memoryview]:
    """The values as little-endian bytes, straight from the file where it holds them so."""
    buffers = blob.buffers()
    if buffers is not None:
        yield from buffers
    elif math.prod(blob.shape):
        array = blob.numpy()
        yield array.astype(f"<f{array.dtype.itemsize}", order="C", copy=False).data.cast("B")


def _scalars(fields: Fields, known: FieldType) -> bytes:
    """All values of a scalar field, packed where the schema says so."""
    name = known.name
    if known.type in _FLOATS:
        code = _FLOATS[known.type]
        payloads = [_fixed(code, value) for value in fields.floats(name)]
        kind = w.FIXED32 if known.type == "float" else w.FIXED64
    elif known.type == "string":
        return b"".join(_bytes(known.number, value.encode("utf-8", "surrogatepass")) for value in fields.strs(name))
    else:
        payloads = [_varint(value) for value in _integers(fields, known)]
        kind = w.VARINT
    if known.packed:
        return _bytes(known.number, b"".join(payloads))
    return b"".join(_tag(known.number, kind) + payload for payload in payloads)


def _integers(fields: Fields, known: FieldType) -> Sequence[int]:
    if known.type == "bool":
        return fields.bools(known.name)
    numbers = Schema.load().enums.get(known.type)
    if numbers is not None:
        return [numbers[name] for name in fields.enums(known.name)]
    if known.type == "bytes":
        raise fields.refuse(known.name, "holds bytes", "no field of a net does")
    return fields.ints(known.name)


def _unknown(number: int, value: object, where: Where) -> bytes:
    """A field that no schema knows, as it was found."""
    if isinstance(value, Raw):
        if value.kind == w.BYTES:
            return _bytes(number, value)
        end = _tag(number, w.END_GROUP) if value.kind == w.GROUP else b""
        return _tag(number, value.kind) + value + end
    if isinstance(value, int):
        return _tag(number, w.VARINT) + _varint(value)
    raise Refused(str(where), f"field #{number} cannot be written again")


def _fixed(code: str, value: float) -> bytes:
    try:
        return struct.pack(code, value)
    except OverflowError:  # beyond float32: C rounds to infinity
        return struct.pack(code, math.copysign(math.inf, value))


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _bytes(number: int, data: bytes) -> bytes:
    return _tag(number, w.BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

"""Weights by layer name, from any file that Caffe ever wrote: lazy, checked, and copied only when asked for.

Opening maps the file and walks its layers; a blob is looked at when its shape is asked for, and read by `Blob.numpy`.
Mirrors `Net::CopyTrainedLayersFrom` (net.cpp) of BVLC Caffe.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from caffeport.caffe import wire as w
from caffeport.caffe.blob import Blob, WireBlob
from caffeport.caffe.wire import Piece, Wire
from caffeport.errors import Refused, UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Field numbers of proto/caffe.proto, written out so that opening a file need not read the schema; a test compares them.
NET_NAME, NET_LAYERS, NET_LAYER = 1, 2, 100
V2_NAME, V2_TYPE, V2_BLOBS = 1, 2, 7
V1_NESTED, V1_NAME, V1_TYPE, V1_BLOBS = 1, 4, 5, 6
V0_NAME, V0_TYPE, V0_BLOBS = 1, 2, 50
STATE_ITER, STATE_NET, STATE_HISTORY, STATE_STEP = 1, 2, 3, 4

MAX_BLOBS: Final = 50_000
"""How many layers a file may list, and blobs a layer: two bytes claim one, and an entry here takes a hundred."""


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer as a weight file lists it; `type` is as written (V1 files hold a number)."""

    name: str
    type: str | int
    blobs: tuple[Blob, ...]


class Weights(Mapping[str, tuple[Blob, ...]]):
    """The blobs of every layer that has some, by layer name and in file order.

    Where a file lists a name twice, the later one counts: Caffe copies them in order, one over the other.
    `stored` lists every layer of the file, `era` is 'V0', 'V1', 'V2' or 'HDF5'.
    """

    def __init__(self, file: str, stored: Sequence[StoredLayer], era: str) -> None:
        self.file, self.stored, self.era = file, tuple(stored), era
        last = {layer.name: layer.blobs for layer in stored}
        self._blobs = {name: blobs for name, blobs in last.items() if blobs}

    def __getitem__(self, name: str) -> tuple[Blob, ...]:
        return self._blobs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)

    @cached_property
    def types(self) -> Mapping[str, str]:
        """Layer types by name, as written: 'Convolution', V1's 'CONVOLUTION', V0's 'conv'. HDF5 files hold none."""
        names: dict[int, str] = {}
        if any(isinstance(layer.type, int) for layer in self.stored):
            from caffeport.caffe.schema import Schema

            names = {number: name for name, number in Schema.load().enum("V1LayerParameter.LayerType").items()}
        return {
            layer.name: names.get(layer.type, str(layer.type)) if isinstance(layer.type, int) else layer.type
            for layer in self.stored
            if layer.type != ""
        }

    def sha256(self) -> str:
        """The SHA-256 of the file's bytes, in hexadecimal."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        import hashlib

        return hashlib.sha256(w.map_file(self.file)).hexdigest()


def open_weights(path: str | os.PathLike[str]) -> Weights:
    """Open a .caffemodel of any era or a .caffemodel.h5, told apart by content. Raises UnreadableFile."""
    wire = Wire.open(path)
    kind = w.kind_of(wire.data)
    if kind == "hdf5":
        from caffeport.caffe import hdf5

        return Weights(wire.file, [StoredLayer(n, "", b) for n, b in hdf5.read_layers(wire.file).items()], "HDF5")
    if kind == "text":
        raise UnreadableFile(wire.file, "is a text file and holds no weights", todo="give the .caffemodel")
    old, new = [], []
    for piece in wire.fields():
        if piece.kind == w.BYTES and piece.number == NET_LAYERS:
            old.append(piece)
        elif piece.kind == w.BYTES and piece.number == NET_LAYER:
            new.append(piece)
        elif piece.kind == w.VARINT and piece.number == NET_NAME:
            # SolverState and BlobProto both begin with a number where a net has its name.
            raise UnreadableFile(wire.file, "is a solver state or a mean file, not a net's weights")
        _check_number(wire, piece, max(len(old), len(new)))
    if old:  # Caffe ignores `layer` where there are `layers` (UpgradeV1Net)
        found = [_old_layer(wire, piece) for piece in old]
        return Weights(wire.file, [layer for layer, _ in found], max(found, key=lambda pair: pair[1] == "V0")[1])
    if not new:
        raise UnreadableFile(wire.file, "holds no layers", todo="the file is cut short or not a .caffemodel")
    return Weights(wire.file, [_new_layer(wire, piece) for piece in new], "V2")


def _check_number(wire: Wire, piece: Piece, number: int) -> None:
    if number > MAX_BLOBS:
        wire.fail(piece.tag, f"more than {MAX_BLOBS} layers or blobs are listed")


def _new_layer(wire: Wire, layer: Piece) -> StoredLayer:
    """Index today's LayerParameter."""
    return _index(wire, layer, V2_NAME, V2_TYPE, V2_BLOBS)


def _old_layer(wire: Wire, layer: Piece) -> tuple[StoredLayer, str]:
    """Index a V1LayerParameter, or the V0LayerParameter nested in it, and say which."""
    for piece in wire.fields(layer.begin, layer.end):
        if piece.number == V1_NESTED and piece.kind == w.BYTES:
            return _index(wire, piece, V0_NAME, V0_TYPE, V0_BLOBS), "V0"
    return _index(wire, layer, V1_NAME, V1_TYPE, V1_BLOBS), "V1"


def _index(wire: Wire, layer: Piece, name_number: int, type_number: int, blobs_number: int) -> StoredLayer:
    """The name, the type and the blobs of a layer, by the field numbers of its era."""
    name, kind, places = "", "", []
    number: int | None = None
    for piece in wire.fields(layer.begin, layer.end):
        if piece.number == blobs_number and piece.kind == w.BYTES:
            places.append(piece)
            _check_number(wire, piece, len(places))
        elif piece.number == name_number and piece.kind == w.BYTES:
            name = wire.text_in(piece)
        elif piece.number == type_number and piece.kind == w.BYTES:
            kind = wire.text_in(piece)
        elif piece.number == type_number and piece.kind == w.VARINT:
            number = w.signed(wire.number_in(piece))
    blobs = tuple(WireBlob(wire, p.begin, p.end, f"layer {name!r}, blob {k}") for k, p in enumerate(places))
    return StoredLayer(name, kind if number is None else number, blobs)


@dataclass(frozen=True, slots=True)
class SolverState:
    """A solver snapshot: the iteration it was taken at, its weight file, and the optimiser's arrays."""

    file: str
    iter: int
    learned_net: str
    current_step: int
    history: tuple[Blob, ...]


def open_solverstate(path: str | os.PathLike[str]) -> SolverState:
    """Open a .solverstate or .solverstate.h5, told apart by content. Mirrors sgd_solver.cpp. Raises UnreadableFile."""
    wire = Wire.open(path)
    kind = w.kind_of(wire.data)
    if kind == "hdf5":
        from caffeport.caffe import hdf5

        return SolverState(wire.file, *hdf5.read_solverstate(wire.file))
    if kind == "text":
        raise UnreadableFile(wire.file, "is a text file and no solver state", todo="give the .solverstate")
    numbers = {STATE_ITER: 0, STATE_STEP: 0}
    net, seen = "", False
    history: list[Blob] = []
    for piece in wire.fields():
        if piece.number in numbers and piece.kind == w.VARINT:
            numbers[piece.number] = w.signed(wire.number_in(piece))
            seen = True
        elif piece.number == STATE_NET and piece.kind == w.BYTES:
            net = wire.text_in(piece)
        elif piece.number == STATE_HISTORY and piece.kind == w.BYTES:
            history.append(WireBlob(wire, piece.begin, piece.end, f"history blob {len(history)}"))
            _check_number(wire, piece, len(history))
    if not seen:
        raise UnreadableFile(wire.file, "is no solver state: it names no iteration")
    return SolverState(wire.file, numbers[STATE_ITER], net, numbers[STATE_STEP], tuple(history))


def read_blob(path: str | os.PathLike[str]) -> Blob:
    """Open a file that holds one BlobProto (.binaryproto), of any shape. Raises UnreadableFile."""
    wire = Wire.open(path)
    if w.kind_of(wire.data) != "binary":
        raise UnreadableFile(wire.file, "holds no array", "a .binaryproto is needed")
    return WireBlob(wire, 0, len(wire.data), "array")


def read_mean(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Read a mean image (.binaryproto) as (C, H, W) float32, in Caffe's BGR order. Raises UnreadableFile, Refused."""
    import numpy as np

    blob = read_blob(path)
    shape = blob.shape[1:] if len(blob.shape) == 4 and blob.shape[0] == 1 else blob.shape
    if len(shape) != 3:
        raise Refused(os.fspath(path), f"the mean has shape {blob.shape}", "(C, H, W), or (1, C, H, W) as Caffe has it")
    return blob.numpy().astype(np.float32, copy=False).reshape(shape)

"""Caffe's Datum: the record of its databases, read without a copy and checked against its own claims.

Mirrors `message Datum` of caffe.proto and the reading of it in src/caffe/data_transformer.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from caffeport.caffe.wire import BYTES, FIXED32, VARINT, Piece, Wire, signed
from caffeport.errors import UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHANNELS, HEIGHT, WIDTH, DATA, LABEL, FLOAT_DATA, ENCODED = 1, 2, 3, 4, 5, 6, 7
_NUMBERS: Final = (CHANNELS, HEIGHT, WIDTH, LABEL, ENCODED)
_KINDS: Final = {DATA: BYTES, **dict.fromkeys(_NUMBERS, VARINT)}


@dataclass(frozen=True, slots=True, eq=False)
class Datum:
    """A record: an encoded picture, or channels x height x width bytes or floats. `label` is None where it is unset."""

    channels: int
    height: int
    width: int
    label: int | None
    encoded: bool
    data: bytes
    floats: NDArray[np.float32] | None
    where: str

    def array(self) -> NDArray[np.generic]:
        """(channels, height, width) of uint8, or of float32 where the record holds floats. Raises UnreadableFile."""
        import numpy as np

        shape = (self.channels, self.height, self.width)
        values = np.frombuffer(self.data, np.uint8) if self.data or self.floats is None else self.floats
        if min(shape) <= 0 or self.channels * self.height * self.width != values.size:
            size = " x ".join(map(str, shape))
            raise UnreadableFile(self.where, f"claims {size} values and holds {values.size}", "the two must be equal")
        return values.reshape(shape)


def parse_datum(value: bytes, where: str) -> Datum:
    """A Datum from a database's value. Raises UnreadableFile where it is cut short or no Datum."""
    wire = Wire(value, where)
    numbers = {CHANNELS: 0, HEIGHT: 0, WIDTH: 0, ENCODED: 0}
    label: int | None = None
    data, floats = b"", []
    for piece in wire.fields():
        if piece.number == FLOAT_DATA and piece.kind in (BYTES, FIXED32):
            floats.append(_floats(wire, piece))
        elif piece.kind != _KINDS.get(piece.number):
            continue  # unknown fields are skipped, as protobuf does
        elif piece.number == DATA:
            data = value[piece.begin : piece.end]
        elif piece.number == LABEL:
            label = signed(wire.number_in(piece))
        else:
            numbers[piece.number] = signed(wire.number_in(piece))
    return Datum(
        numbers[CHANNELS], numbers[HEIGHT], numbers[WIDTH], label, bool(numbers[ENCODED]), data, _joined(floats), where
    )


def _floats(wire: Wire, piece: Piece) -> NDArray[np.float32]:
    """The values of a packed array, or of a run of single values, each behind its one-byte tag."""
    import numpy as np

    raw = wire.data[piece.begin : piece.end]
    if piece.kind == BYTES:
        if len(raw) % 4:
            wire.fail(piece.begin, f"an array of {len(raw)} bytes does not divide into 4")
        return np.frombuffer(raw, "<f4")
    return np.frombuffer(raw + b"\0", np.uint8).reshape(-1, 5)[:, :4].copy().view("<f4").reshape(-1)


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    import numpy as np

    if len(parts) < 2:
        return parts[0] if parts else None
    return np.concatenate(parts)

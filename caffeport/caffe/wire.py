"""The protobuf wire format, over a mapped file: finds fields and copies nothing.

A message is a row of fields: a tag (number and kind), then a varint, 4 or 8 bytes, or a length and that many bytes.
Payloads are skipped and not read, so a walk costs by the number of fields, not by the size of the file.
Every length is checked against what is left of the message around it before anything is done with it.
Format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

from caffeport.caffe.tree import Where
from caffeport.errors import UnreadableFile

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
GROUP: Final = 3
END_GROUP: Final = 4
FIXED32: Final = 5

MAX_DEPTH: Final = 100
"""How deep messages and groups may nest; protobuf's own readers stop at the same depth."""

MAX_NUMBER: Final = (1 << 29) - 1
_MASK64: Final = (1 << 64) - 1
_WIDTH: Final = {FIXED64: 8, FIXED32: 4}

Buffer = bytes | mmap.mmap


class Piece(NamedTuple):
    """One field as found: `begin:end` is its payload, `tag` the offset where the field starts.

    A run of fixed-width fields that all carry the same one-byte tag comes as one piece (an unpacked array of a million
    floats would be a million otherwise): values lie at `begin`, `begin + width + 1`, ... see `Wire.fixed`.
    """

    number: int
    kind: int
    tag: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Wire:
    """The bytes of one binary file, and its name for messages."""

    data: Buffer
    file: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Wire:
        """Map a file. Raises UnreadableFile if it is missing, empty, or not a plain file."""
        return cls(map_file(path), os.fspath(path))

    def fail(self, at: int, what: str) -> NoReturn:
        """Raise UnreadableFile for what is wrong at that byte."""
        raise UnreadableFile(f"{self.file}: byte {at}", what, todo="the file is cut short or not a Caffe file")

    def where(self, at: int) -> Where:
        """A place in this file, by its byte."""
        return Where(self.file, offset=at)

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The unsigned 64-bit number at that byte, and the byte after it."""
        result = shift = 0
        for here in range(at, min(end, at + 10)):
            byte = self.data[here]
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result & _MASK64, here + 1
            shift += 7
        return self.fail(at, "a number is longer than 10 bytes" if end - at >= 10 else "a number is cut short")

    def fields(self, begin: int = 0, end: int | None = None) -> Iterator[Piece]:
        """The fields of the message in `begin:end`, in file order. Raises UnreadableFile."""
        data = self.data
        stop = len(data) if end is None else end
        at = begin
        while at < stop:
            tag = at
            key = data[at]
            if key < 0x80:
                at += 1
            else:
                key, at = self.varint(at, stop)
            number, kind = key >> 3, key & 7
            if kind == BYTES:
                size, first = self._size(at, stop)
                at = first + size
            elif kind == VARINT:
                first = at
                at = at + 1 if at < stop and data[at] < 0x80 else self.varint(at, stop)[1]
            elif kind in _WIDTH:
                first, at = at, self._fixed_run(key, at, stop, _WIDTH[kind])
            else:
                first, last, at = self._group(tag, number, kind, at, stop)
                yield Piece(number, kind, tag, first, last)
                continue
            if not 0 < number <= MAX_NUMBER:
                self.fail(tag, f"field number {number} does not exist")
            yield Piece(number, kind, tag, first, at)

    def _size(self, at: int, stop: int) -> tuple[int, int]:
        """The length of a payload that fits into the message, and where the payload begins."""
        if at < stop and self.data[at] < 0x80:
            size, first = self.data[at], at + 1
        else:
            size, first = self.varint(at, stop)
        if size > stop - first:
            self.fail(at, f"a field of {size} bytes begins where {stop - first} are left")
        return size, first

    def _fixed_run(self, key: int, at: int, stop: int, width: int) -> int:
        """The end of a fixed-width value, or of the last in a run of them under the same one-byte tag."""
        end = at + width
        if end > stop:
            self.fail(at, f"a value of {width} bytes begins where {stop - at} are left")
        # Tags of a run lie `width + 1` bytes apart; the first that differs ends it. Slicing finds it at C speed, in
        # slices that double, so that a file of many short runs costs no more than one of long ones.
        count, stride = 1, width + 1
        while key < 0x80 and end + width < stop and self.data[end] == key:
            tags = self.data[end : min(end + count * stride, stop - width) : stride]
            run = len(tags) - len(tags.lstrip(bytes((key,))))
            end += run * stride
            if run < len(tags):
                break
            count *= 2
        return end

    def _group(self, tag: int, number: int, kind: int, at: int, stop: int) -> tuple[int, int, int]:
        """Skip a group: the begin and end of its inside, and the byte after its end tag."""
        if kind != GROUP:
            self.fail(tag, "a group ends that never began" if kind == END_GROUP else f"wire type {kind} does not exist")
        first, last, open_groups = at, at, [number]
        while open_groups:
            if len(open_groups) > MAX_DEPTH:
                self.fail(at, f"groups nest deeper than {MAX_DEPTH}")
            if at >= stop:
                self.fail(tag, "a group never ends")
            last = at
            key, at = self.varint(at, stop)
            inner, inner_kind = key >> 3, key & 7
            if inner_kind == GROUP:
                open_groups.append(inner)
            elif inner_kind == END_GROUP:
                if inner != open_groups.pop():
                    self.fail(last, f"group {inner} ends inside another group")
            elif inner_kind == BYTES:
                size, begin = self._size(at, stop)
                at = begin + size
            elif inner_kind == VARINT:
                at = self.varint(at, stop)[1]
            elif inner_kind in _WIDTH:
                at = self._fixed_run(key, at, stop, _WIDTH[inner_kind])
            else:
                self.fail(last, f"wire type {inner_kind} does not exist")
        return first, last, at

    def number_in(self, piece: Piece) -> int:
        """The unsigned value of a varint field."""
        return self.varint(piece.begin, piece.end)[0]

    def text_in(self, piece: Piece) -> str:
        """The string of a length-delimited field: UTF-8, else Latin-1, as the text reader has it."""
        data = self.data[piece.begin : piece.end]
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("latin-1")

    def varints_in(self, piece: Piece) -> list[int]:
        """The unsigned values of a field that may be packed or not."""
        if piece.kind == VARINT:
            return [self.number_in(piece)]
        values, at = [], piece.begin
        while at < piece.end:
            value, at = self.varint(at, piece.end)
            values.append(value)
        return values

    def fixed_in(self, piece: Piece, code: str) -> list[float]:
        """The values of a float ('f') or double ('d') field, packed, single, or a run (see `Piece`)."""
        width = struct.calcsize(f"<{code}")
        stride = width if piece.kind == BYTES else width + 1
        if piece.kind == BYTES and (piece.end - piece.begin) % width:
            self.fail(piece.begin, f"a packed array of {piece.end - piece.begin} bytes does not divide into {width}")
        starts = range(piece.begin, piece.end, stride)
        return [struct.unpack_from(f"<{code}", self.data, at)[0] for at in starts]


def signed(value: int) -> int:
    """A varint read as the two's complement 64-bit number that int32 and int64 fields hold."""
    return value - (1 << 64) if value >> 63 else value


def map_file(path: str | os.PathLike[str]) -> mmap.mmap:
    """Map a plain file for reading. Raises UnreadableFile if it is missing, empty, or a folder, pipe or device."""
    name = os.fspath(path)
    try:
        # Asked before opening: opening a pipe would wait for its writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnreadableFile(name, "is not a file", "a plain file is needed")
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                raise UnreadableFile(name, "is empty")
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableFile(
            name, f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        ) from None


HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_TEXT_CONTROLS: Final = frozenset(b"\t\n\r\f\v")


def kind_of(data: Buffer) -> str:
    """What a file is by its first bytes: 'hdf5', 'text' or 'binary'.

    A binary net holds control characters at once (the tag of a layer does), a text one never does.
    """
    head = bytes(data[:4096])
    if head.startswith(HDF5_MAGIC):
        return "hdf5"
    return "binary" if any(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head) else "text"

"""A binary Caffe message -> the same tree of names and values that the text reader gives.

The arrays of a BlobProto stay where they are (`weights` reads them); its shape enters the tree. A number that no schema
knows is kept as a field `#<number>` with the bytes or the number as found, so that the layer it sits in can refuse it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

from caffeport.caffe import wire as w
from caffeport.caffe.blob import BLOB_PAYLOADS
from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.tree import Field, Message, Scalar
from caffeport.caffe.wire import Piece, Wire

_LAYER_TYPE: Final = 2
"""LayerParameter.type, read ahead of the rest since it says which fork's fields are meant."""


MAX_FIELDS: Final = 500_000
"""How many values one file's tree may hold: each takes a hundred times the bytes that a file needs to claim it."""


class Raw(bytes):
    """The payload of a field that no schema knows; `kind` is its wire type, so that it can be written again."""

    kind: int

    @classmethod
    def of(cls, data: bytes, kind: int) -> Raw:
        """The bytes together with their wire type."""
        raw = cls(data)
        raw.kind = kind
        return raw


def read_binary(path: str | os.PathLike[str], message: str = "NetParameter") -> Message:
    """Read a binary file as that message. Raises UnreadableFile on broken bytes."""
    wire = Wire.open(path)
    return read_message(wire, message, 0, len(wire.data))


def parse_binary(data: bytes, message: str = "NetParameter", file: str = "<bytes>") -> Message:
    """Read bytes as that message. Raises UnreadableFile on broken bytes."""
    return read_message(Wire(data, file), message, 0, len(data))


def read_message(wire: Wire, message: str, begin: int, end: int) -> Message:
    """Read the message of that schema type in `begin:end`. Raises UnreadableFile on broken bytes."""
    return _Tree(wire).message(message, begin, end, begin, 0)


class _Tree:
    """One reading of a file; `left` is how many more values its tree may hold."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self.left = wire, MAX_FIELDS

    def message(self, name: str, begin: int, end: int, tag: int, depth: int) -> Message:
        if depth > w.MAX_DEPTH:
            self.wire.fail(tag, f"messages nest deeper than {w.MAX_DEPTH}")
        find = _finder(self.wire, name, begin, end)
        fields: list[Field] = []
        for piece in self.wire.fields(begin, end):
            if name == "BlobProto" and piece.number in BLOB_PAYLOADS:
                continue
            known = find(piece.number)
            declared = known if known and _agrees(piece, known) else None
            self.left -= _most_values(piece, declared)
            if self.left < 0:
                self.wire.fail(piece.tag, f"more than {MAX_FIELDS} values stand outside of arrays")
            fields += self.known(piece, declared, depth) if declared else [_unknown(self.wire, piece)]
        return Message(tuple(fields), self.wire.where(tag))

    def known(self, piece: Piece, known: FieldType, depth: int) -> Iterator[Field]:
        """The values of a declared field: one, or as many as a packed array or a run holds."""
        where = self.wire.where(piece.tag)
        if Schema.load().kind(known.type) == "message":
            yield Field(known.name, self.message(known.type, piece.begin, piece.end, piece.tag, depth + 1), where)
            return
        values: list[Scalar]
        if known.type == "string":
            values = [self.wire.text_in(piece)]
        elif known.type == "bytes":
            values = [self.wire.data[piece.begin : piece.end]]
        elif known.type in ("float", "double"):
            values = list(self.wire.fixed_in(piece, known.type[0]))
        else:
            values = [_integer(value, known.type) for value in self.wire.varints_in(piece)]
        for value in values:
            yield Field(known.name, value, where)


def _most_values(piece: Piece, known: FieldType | None) -> int:
    """The most values that a field can hold, told before any of them is read."""
    whole = known is None or known.type in ("string", "bytes") or Schema.load().kind(known.type) == "message"
    width = {"float": 4, "double": 8}.get(known.type, 1) if known else 1
    return 1 if whole else max(1, (piece.end - piece.begin) // width)


def _finder(wire: Wire, name: str, begin: int, end: int) -> Callable[[int], FieldType | None]:
    """How field numbers are looked up in that message: in a layer, its type decides between forks."""
    schema = Schema.load()
    if name != "LayerParameter":
        return schema.message(name).by_number.get
    layer_type = ""
    for piece in wire.fields(begin, end):
        if piece.number == _LAYER_TYPE and piece.kind == w.BYTES:
            layer_type = wire.text_in(piece)
    return lambda number: schema.layer_field(number, layer_type)


def _agrees(piece: Piece, known: FieldType) -> bool:
    """Whether the field's wire type is one that its declared type can have; protobuf keeps it as unknown otherwise."""
    if piece.kind == w.BYTES:
        return known.repeated or known.type in ("string", "bytes") or Schema.load().kind(known.type) == "message"
    if known.type == "float":
        return piece.kind == w.FIXED32
    if known.type == "double":
        return piece.kind == w.FIXED64
    scalar = Schema.load().kind(known.type) != "message" and known.type not in ("string", "bytes")
    return piece.kind == w.VARINT and scalar


def _integer(value: int, type_name: str) -> Scalar:
    """A varint as its declared type: enums and int32 are sign-extended, uint32 keeps its low bits."""
    if type_name == "bool":
        return value != 0
    if type_name == "uint32":
        return value & 0xFFFFFFFF
    if type_name == "uint64":
        return value
    number = w.signed(value)
    if type_name == "int64":
        return number
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


def _unknown(wire: Wire, piece: Piece) -> Field:
    """A field under its number: a varint as a number, anything else as its bytes."""
    number = piece.kind == w.VARINT
    value: Scalar = wire.number_in(piece) if number else Raw.of(wire.data[piece.begin : piece.end], piece.kind)
    return Field(f"#{piece.number}", value, wire.where(piece.tag))

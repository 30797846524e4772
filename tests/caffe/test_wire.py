"""The wire walk: what it finds, and that no byte string takes it further than UnreadableFile."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeport.caffe import wire as w
from caffeport.caffe.wire import Wire, kind_of, map_file
from caffeport.errors import UnreadableFile

from .wiring import floats, sized, tag, varint


def walk(data: bytes) -> list[tuple[int, int, bytes]]:
    return [(p.number, p.kind, data[p.begin : p.end]) for p in Wire(data, "f").fields()]


def test_finds_every_kind_of_field() -> None:
    group = tag(5, w.GROUP) + sized(1, b"in") + tag(9, w.GROUP) + tag(9, w.END_GROUP) + tag(5, w.END_GROUP)
    data = (
        tag(1, w.VARINT)
        + varint(300)
        + sized(2, b"abc")
        + tag(3, w.FIXED32)
        + b"1234"
        + tag(4, w.FIXED64)
        + b"12345678"
    )
    assert walk(data + group + sized(100, b"")) == [
        (1, w.VARINT, varint(300)),
        (2, w.BYTES, b"abc"),
        (3, w.FIXED32, b"1234"),
        (4, w.FIXED64, b"12345678"),
        (5, w.GROUP, group[1:-1]),
        (100, w.BYTES, b""),
    ]


@given(st.integers(-(2**63), 2**64 - 1))
def test_varints_round_trip(value: int) -> None:
    data = varint(value)
    number, end = Wire(data, "f").varint(0, len(data))
    assert (number, end) == (value & (2**64 - 1), len(data))
    assert value >= 2**63 or w.signed(number) == value


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=300), st.booleans(), st.booleans())
def test_unpacked_values_come_as_one_run(values: list[float], more: bool, double: bool) -> None:
    code, kind = ("d", w.FIXED64) if double else ("f", w.FIXED32)
    data = b"".join(tag(5, kind) + struct.pack(f"<{code}", value) for value in values)
    data += sized(7, b"end") if more else b""
    wire = Wire(data, "f")
    first, *rest = wire.fields()
    assert wire.fixed_in(first, code) == values
    assert [piece.number for piece in rest] == [7] * more


def test_a_run_ends_where_the_tag_changes() -> None:
    data = b"".join(tag(n, w.FIXED32) + floats([n]) for n in (5, 5, 5, 6, 5))
    wire = Wire(data, "f")
    assert [(p.number, wire.fixed_in(p, "f")) for p in wire.fields()] == [(5, [5.0] * 3), (6, [6.0]), (5, [5.0])]


BROKEN = {
    "a length past the end": sized(1, b"abcdef")[:-1],
    "a length of 2 to the 63": tag(1, 2) + varint(2**63) + b"abc",
    "an 11-byte number": tag(1, 0) + b"\xff" * 10 + b"\1",
    "a number cut short": tag(1, 0) + b"\x80",
    "a tag cut short": b"\x80",
    "a float cut short": tag(1, 5) + b"abc",
    "a double cut short": tag(1, 1) + b"abcdefg",
    "field number 0": tag(0, 0) + b"\0",
    "a field number beyond 29 bits": tag(1 << 29, 0) + b"\0",
    "wire type 6": tag(1, 6),
    "wire type 7": tag(1, 7),
    "the end of no group": tag(1, 4),
    "a group without end": tag(1, 3) + sized(2, b"x"),
    "a group that another ends": tag(1, 3) + tag(2, 4),
    "a bad kind in a group": tag(1, 3) + tag(2, 7),
    "groups too deep": tag(1, 3) * 101 + tag(1, 4) * 101,
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_bytes_are_refused_with_their_place(what: str) -> None:
    with pytest.raises(UnreadableFile, match=r"^net: byte \d+: "):
        list(Wire(b"\x08\x01" + BROKEN[what], "net").fields())


@given(st.binary(max_size=200))
def test_any_bytes_are_walked_or_refused(data: bytes) -> None:
    try:
        pieces = list(Wire(data, "f").fields())
    except UnreadableFile:
        return
    assert all(0 <= p.tag < p.begin <= p.end <= len(data) for p in pieces)
    assert [p.tag for p in pieces] == sorted({p.tag for p in pieces})


def test_many_short_runs_cost_no_more_than_one_long() -> None:
    pair = tag(5, 5) + b"\0\0\0\0" + tag(5, 5) + b"\0\0\0\0" + tag(6, 0) + b"\0"
    data = pair * 40_000
    begin = time.perf_counter()
    assert sum(1 for _ in Wire(data, "f").fields()) == 80_000
    assert time.perf_counter() - begin < 5, "linear: about 0.2 s"


def test_maps_plain_files_only(tmp_path: Path) -> None:
    import os

    empty, pipe = tmp_path / "empty", tmp_path / "pipe"
    empty.touch()
    os.mkfifo(pipe)
    for path in (empty, pipe, tmp_path, tmp_path / "missing", Path("/dev/zero"), "a\0b"):
        with pytest.raises(UnreadableFile):
            map_file(path)


def test_tells_kinds_by_content() -> None:
    assert kind_of(b"\x89HDF\r\n\x1a\n....") == "hdf5"
    assert kind_of(b"\n# layer\n\tname: 'caf\xc3\xa9'\r\n") == "text"
    assert kind_of(sized(1, "net") + sized(100, b"")) == "binary"
    assert kind_of(sized(2, b"x" * 40)) == "binary"

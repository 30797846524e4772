"""LMDBs of Datums, written by hand: the tests' own record of the format."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import lmdb
import numpy as np


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def datum(planes: np.ndarray, label: int) -> bytes:
    """(C, H, W) bytes with a label: fields 1 to 5 of caffe.proto's Datum."""
    head = b"".join(bytes([tag]) + varint(side) for tag, side in zip((0x08, 0x10, 0x18), planes.shape, strict=True))
    return head + b"\x22" + varint(planes.size) + planes.tobytes() + b"\x28" + varint(label)


def score(value: float) -> bytes:
    """A 1 x 1 x 1 Datum with one float_data."""
    return b"\x08\x01\x10\x01\x18\x01\x35" + np.float32(value).tobytes()


def write_lmdb(path: Path, records: Iterable[bytes]) -> Path:
    environment = lmdb.open(str(path), map_size=1 << 28)
    with environment.begin(write=True) as transaction:
        for number, record in enumerate(records):
            transaction.put(f"{number:08}".encode(), record)
    environment.close()
    return path

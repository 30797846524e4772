"""Binary messages put together by hand, for files that no library would write."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7F:
        out += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return out + bytes((value,))


def tag(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def sized(number: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return tag(number, 2) + varint(len(data)) + data


def floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def shape(*dims: int) -> bytes:
    """BlobProto.shape."""
    return sized(7, sized(1, b"".join(map(varint, dims))))


def data(values: Sequence[float]) -> bytes:
    """BlobProto.data, packed."""
    return sized(5, floats(values))


def layer(name: str, *blobs: bytes, kind: str = "InnerProduct") -> bytes:
    """NetParameter.layer."""
    return sized(100, sized(1, name) + sized(2, kind) + b"".join(sized(7, blob) for blob in blobs))

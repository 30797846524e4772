"""What a picture file says about itself before anyone decodes it: its format and size, from its first bytes.

Decoders allocate by what the header claims, so the claim is checked first: 100 bytes may announce 10^10 pixels.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from caffeport.errors import Refused, UnreadableFile

MAX_PIXELS: Final = 100_000_000
"""The largest picture that is decoded unless the caller says otherwise (300 MB as BGR bytes)."""

MAX_PAGES_OF_TAGS: Final = 4096
_SUPPORTED: Final = "JPEG, PNG, BMP, GIF, WebP, TIFF and PNM pictures are read"


class Header(NamedTuple):
    """A picture's format, its size in pixels as stored (before any EXIF turn), and where its pixels may begin."""

    format: str
    height: int
    width: int
    body: int = 0


def sniff(data: bytes, where: str, max_pixels: int = MAX_PIXELS) -> Header:
    """The header of an encoded picture. Raises UnreadableFile for no picture, Refused above `max_pixels`."""
    try:
        header = next((read(data) for magic, read in _READERS if magic(data)), None)
    except (struct.error, IndexError):
        raise UnreadableFile(where, f"the picture is cut short within its header ({len(data)} bytes)") from None
    if header is None:
        raise UnreadableFile(where, "is empty" if not data else f"is no picture (begins {data[:8]!r})", _SUPPORTED)
    if header.height <= 0 or header.width <= 0:
        raise UnreadableFile(where, f"the {header.format} header gives a size of {header.width} x {header.height}")
    if header.height * header.width > max_pixels:
        raise Refused(
            where,
            f"the {header.format} header announces {header.width} x {header.height} pixels",
            f"at most {max_pixels} pixels are decoded",
            "make the picture smaller first, if it is one",
        )
    return header


def check_whole(data: bytes, header: Header, where: str) -> None:
    """Raise UnreadableFile for a JPEG or PNG that lacks its end mark: OpenCV would fill the rest with grey."""
    mark = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}.get(header.format)
    # A thumbnail inside a JPEG has an end mark of its own, but it lies before the picture's own body.
    if mark is not None and data.rfind(mark, header.body) < 0:
        raise UnreadableFile(where, f"the {header.format} is cut short: its end mark is missing")


def _jpeg(data: bytes) -> Header:
    """Walk the segments up to the frame header (ITU T.81, B.2.2)."""
    at = 2
    while True:
        while data[at] != 0xFF:  # decoders skip stray bytes between segments
            at += 1
        while data[at] == 0xFF:
            at += 1
        marker, at = data[at], at + 1
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 3)
            return Header("JPEG", height, width, at)
        if marker in (0xD9, 0xDA):
            return Header("JPEG", 0, 0)
        at += struct.unpack_from(">H", data, at)[0]


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    return Header("PNG", height, width, 33)


def _bmp(data: bytes) -> Header:
    if struct.unpack_from("<I", data, 14)[0] == 12:  # the OS/2 header
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Header("BMP", abs(height), width)  # a negative height means rows from the top


def _gif(data: bytes) -> Header:
    width, height = struct.unpack_from("<HH", data, 6)
    return Header("GIF", height, width)


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        raw = data[24:30]
        return Header("WebP", int.from_bytes(raw[3:6], "little") + 1, int.from_bytes(raw[0:3], "little") + 1)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Header("WebP", (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", data, 26)
    return Header("WebP", height & 0x3FFF, width & 0x3FFF)


def _tiff(data: bytes) -> Header:
    """The size tags (256 width, 257 height) of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    first = struct.unpack_from(order + "I", data, 4)[0]
    count = min(struct.unpack_from(order + "H", data, first)[0], MAX_PAGES_OF_TAGS)
    size = {256: 0, 257: 0}
    for at in range(first + 2, first + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in size:
            size[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)[0]
    return Header("TIFF", size[257], size[256])


_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")


def _pnm(data: bytes) -> Header:
    found = _PNM.match(data[:1024])
    return Header("PNM", int(found[2]), int(found[1])) if found else Header("PNM", 0, 0)


_READERS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Header]], ...]] = (
    (lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda data: data.startswith(b"BM"), _bmp),
    (lambda data: data.startswith((b"GIF87a", b"GIF89a")), _gif),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _webp),
    (lambda data: data.startswith((b"II*\0", b"MM\0*")), _tiff),
    (lambda data: data[:1] == b"P" and data[1:2] in b"123456" and len(data) > 2, _pnm),
)

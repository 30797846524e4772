"""Decoding: what OpenCV gives, whoever decodes; and files that mean harm."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from caffeport.errors import CaffeportError, Refused, UnreadableFile
from caffeport.transform import Preprocessing, decode
from caffeport.transform.picture import conform
from caffeport.transform.sniff import sniff

IMAGES = Path(__file__).parents[2] / "golden/transforms/images"
SAMPLING = {"444": 0x111111, "422": 0x211111, "420": 0x221111}


def colours(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height)))


def encoded(image: np.ndarray, suffix: str, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, image, list(options))[1])


def opencv(data: bytes, flags: int) -> np.ndarray:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (9, 17), (61, 77), (120, 160)])
def test_simplejpeg_is_bit_equal_to_opencv(sampling: str, progressive: int, size: tuple[int, int]) -> None:
    pytest.importorskip("simplejpeg", reason="simplejpeg is optional")
    for quality in (30, 75, 100):
        options = (1, quality, 2, progressive, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[sampling])
        data = encoded(colours(*size), ".jpg", *options)
        for colour, flags in (("color", cv2.IMREAD_COLOR), ("gray", cv2.IMREAD_GRAYSCALE), ("native", -1)):
            pixels = decode(data, colour=colour, decoder="simplejpeg")
            np.testing.assert_array_equal(pixels, opencv(data, flags))


def test_grey_jpeg_in_every_colour() -> None:
    data = encoded(colours(20, 30)[:, :, 0], ".jpg")
    assert decode(data).shape == (20, 30, 3)
    for colour in ("gray", "native"):
        for decoder in ("auto", "opencv"):
            assert decode(data, colour=colour, decoder=decoder).shape == (20, 30, 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".gif"])
def test_formats(suffix: str) -> None:
    data = encoded(colours(33, 47), suffix)
    header = sniff(data, "x")
    assert (header.height, header.width) == (33, 47)
    np.testing.assert_array_equal(decode(data), opencv(data, cv2.IMREAD_COLOR))


def test_alpha_is_dropped_and_native_keeps_it() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    data = encoded(image, ".png")
    np.testing.assert_array_equal(decode(data), image[:, :, :3])
    np.testing.assert_array_equal(decode(data, colour="native"), image)


def pillow(image: Image.Image, kind: str, exif: Image.Exif | None = None) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **({} if exif is None else {"exif": exif}))
    return stream.getvalue()


def test_cmyk_jpeg_goes_by_opencv() -> None:
    data = pillow(Image.fromarray(colours(16, 24)).convert("CMYK"), "JPEG")
    np.testing.assert_array_equal(decode(data), opencv(data, cv2.IMREAD_COLOR))


def test_exif_orientation_is_an_option() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    data = pillow(Image.fromarray(colours(16, 24)), "JPEG", exif)
    assert decode(data).shape == (16, 24, 3)
    assert decode(data, exif=True).shape == (24, 16, 3)
    np.testing.assert_array_equal(decode(data, exif=True), opencv(data, cv2.IMREAD_COLOR))
    assert Preprocessing(exif=True)(data).shape == (1, 3, 24, 16)


def test_16_bit_pictures() -> None:
    image = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    data = encoded(image, ".png")
    assert decode(data).dtype == np.uint8
    with pytest.raises(Refused, match="8 bits"):
        decode(data, colour="native")


def test_scaled_decoding_gives_at_least_the_size_asked_for() -> None:
    pytest.importorskip("simplejpeg", reason="simplejpeg is optional")
    data = encoded(colours(600, 800), ".jpg")
    assert decode(data, decoder="scaled", at_least=(256, 256)).shape[:2] < (600, 800)
    assert min(decode(data, decoder="scaled", at_least=(256, 256)).shape[:2]) >= 256


def bombs() -> dict[str, bytes]:
    side = struct.pack(">II", 60000, 60000)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + side + b"\x08\x02\0\0\0" + bytes(4) + b"IEND"
    jpeg = b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60000, 60000) + bytes(10) + b"\xff\xd9"
    return {
        "png": png,
        "jpeg": jpeg,
        "bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, 60000, -60000) + bytes(30),
        "gif": b"GIF89a" + struct.pack("<HH", 60000, 60000) + bytes(9),
        "pnm": b"P6 60000 60000 255\n",
        "tiff": b"II*\0\x08\0\0\0\x02\0"
        + struct.pack("<HHII", 256, 4, 1, 60000)
        + struct.pack("<HHII", 257, 4, 1, 60000),
        "webp": b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x5f\xea\0" * 2,
    }


@pytest.mark.parametrize("kind", bombs())
def test_bombs_are_refused_before_anything_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(Refused, match=r"announces 6\d{4} x 6\d{4} pixels"):
        decode(bombs()[kind], kind)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_cut_short_is_an_error_and_not_grey(suffix: str) -> None:
    data = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), suffix)
    for end in (0, 1, 10, 40, len(data) // 2, len(data) - 30):
        with pytest.raises(UnreadableFile):
            decode(data[:end], "cut")


@given(
    st.binary(max_size=64), st.sampled_from([*bombs().values(), b"\xff\xd8\xff", b"II*\0", b"P5"]), st.integers(0, 60)
)
@settings(max_examples=300, deadline=None)
def test_no_other_exception_than_ours(tail: bytes, head: bytes, cut: int) -> None:
    try:
        decode(head[:cut] + tail, max_pixels=10_000)
    except CaffeportError:
        return


def test_files(tmp_path: Path) -> None:
    prep = Preprocessing()
    np.testing.assert_array_equal(prep(IMAGES / "p0.png"), prep((IMAGES / "p0.png").read_bytes()))
    for path in (tmp_path, tmp_path / "none.png", "nul\0.png"):
        with pytest.raises(UnreadableFile):
            prep(path)


def test_conform() -> None:
    grey = np.zeros((4, 5), np.uint8)
    assert conform(grey, "gray").shape == (4, 5, 1)
    assert conform(grey, "color").shape == (4, 5, 3)
    assert conform(np.zeros((4, 5, 4), np.float32), "color").shape == (4, 5, 3)
    for bad in (np.zeros((4, 5, 3), np.uint8), np.zeros((0, 5, 1), np.uint8), np.zeros(4), grey.astype(np.int32)):
        with pytest.raises(Refused):
            conform(bad, "gray")

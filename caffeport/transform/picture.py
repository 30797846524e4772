"""Decode a picture as Caffe's OpenCV does: uint8, rows x columns x channels, channels in BGR order.

Mirrors ReadImageToCVMat and DecodeDatumToCVMat of BVLC Caffe's src/caffe/util/io.cpp. Grey files become three equal
channels, alpha is dropped, CMYK is converted by OpenCV and the EXIF orientation is not applied unless asked for
(the OpenCV of Caffe's days knew none).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from caffeport.errors import Refused, UnreadableFile
from caffeport.transform.needs import need
from caffeport.transform.sniff import MAX_PIXELS, Header, check_whole, sniff

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLOURS: Final = ("color", "gray", "native")
"""``color``: always three channels; ``gray``: always one; ``native``: as the file has it (Caffe's encoded Datums)."""

DECODERS: Final = ("auto", "opencv", "simplejpeg", "scaled")
"""``scaled`` lets simplejpeg shrink large JPEGs as it decodes: a third faster, and other pixels than Caffe's."""

MAX_FILE_BYTES: Final = 1 << 30


def decode(
    data: bytes,
    where: str = "<picture>",
    *,
    colour: str = "color",
    exif: bool = False,
    max_pixels: int = MAX_PIXELS,
    decoder: str = "auto",
    at_least: tuple[int, int] = (0, 0),
) -> NDArray[np.uint8]:
    """Decode an encoded picture to (H, W, C) uint8, BGR.

    `decoder` 'auto' takes simplejpeg for plain JPEGs where it is installed (libjpeg-turbo too, bit-equal to OpenCV)
    and OpenCV for the rest; 'scaled' may give a smaller picture, of `at_least` that height and width.
    Raises UnreadableFile for what is no whole picture, Refused above `max_pixels`.
    """
    if decoder not in DECODERS or colour not in COLOURS:
        raise Refused(where, f"decoder {decoder!r}, colour {colour!r}", f"{', '.join(DECODERS)}; {', '.join(COLOURS)}")
    header = sniff(data, where, max_pixels)
    check_whole(data, header, where)
    if decoder != "opencv" and header.format == "JPEG" and not exif:
        floor = at_least if decoder == "scaled" and all(at_least) else None
        pixels = _by_simplejpeg(data, colour, header, floor, required=decoder in ("simplejpeg", "scaled"))
        if pixels is not None:
            return pixels
    return _by_opencv(data, where, colour, exif)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a picture file. Raises UnreadableFile if it is missing, no plain file, or above 1 GiB."""
    name = os.fspath(path)
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile(name, "is not a file", "a plain file is needed")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableFile(name, f"holds {status.st_size} bytes", f"pictures of up to {MAX_FILE_BYTES} are read")
        with open(name, "rb") as stream:
            return stream.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UnreadableFile(name, f"cannot be read ({getattr(error, 'strerror', None) or error})") from None


def conform(picture: NDArray[np.generic], colour: str, where: str = "<array>") -> NDArray[np.generic]:
    """Bring an array from elsewhere to (H, W, C): grey gains an axis or is spread over three channels, alpha goes.

    A colour picture for a `gray` net is refused: OpenCV's conversion belongs to its decoder.
    """
    import numpy as np

    image = picture[:, :, None] if picture.ndim == 2 else picture
    if image.ndim != 3 or 0 in image.shape:
        raise Refused(where, f"a picture of shape {picture.shape}", "(H, W) or (H, W, channels) is needed")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise Refused(where, f"a picture of type {image.dtype}", "uint8 or a float type is needed")
    channels = image.shape[2]
    if colour == "native" or channels == {"color": 3, "gray": 1}[colour]:
        return image
    if colour == "color" and channels in (1, 4):
        return np.repeat(image, 3, axis=2) if channels == 1 else image[:, :, :3]
    raise Refused(
        where, f"a picture of {channels} channels where the net reads {colour}", "1, 3 or 4 channels are read"
    )


def _by_simplejpeg(
    data: bytes, colour: str, header: Header, floor: tuple[int, int] | None, required: bool
) -> NDArray[np.uint8] | None:
    """Decode by simplejpeg; None where it is missing, or where OpenCV's own rules are wanted (CMYK, broken files)."""
    try:
        import simplejpeg
    except ImportError:
        if required:
            raise Refused(
                "decoder", "the package 'simplejpeg' is not installed", todo="pip install simplejpeg"
            ) from None
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in ("YCbCr", "Gray") or (height, width) != (header.height, header.width):
            return None
        target = "GRAY" if colour == "gray" or (colour == "native" and space != "YCbCr") else "BGR"
        shrink = {} if floor is None else {"min_height": floor[0], "min_width": floor[1]}
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, target, **shrink)
    except ValueError:  # damage that OpenCV may get over
        return None
    return pixels


def _by_opencv(data: bytes, where: str, colour: str, exif: bool) -> NDArray[np.uint8]:
    """Decode by OpenCV with the flags that Caffe gives it."""
    import numpy as np

    cv2 = need("cv2", where)
    flags = {"color": cv2.IMREAD_COLOR, "gray": cv2.IMREAD_GRAYSCALE, "native": cv2.IMREAD_UNCHANGED}[colour]
    if colour == "native" and exif:
        raise Refused(where, "EXIF orientation with colour 'native'", "it is applied to 'color' and 'gray' only")
    if not exif and colour != "native":
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise UnreadableFile(where, f"OpenCV cannot decode the picture ({error.err})") from None
    if pixels is None:
        raise UnreadableFile(where, "OpenCV cannot decode the picture")
    if pixels.dtype != np.uint8:
        raise Refused(where, f"a picture of type {pixels.dtype}", "Caffe allows 8 bits per channel only")
    decoded: NDArray[np.uint8] = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return decoded

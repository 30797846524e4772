"""The arithmetic of `Preprocessing`, in float32 and in Caffe's order of operations.

Mirrors DataTransformer::Transform (src/caffe/data_transformer.cpp), and Transformer.preprocess and oversample
(python/caffe/io.py) of BVLC Caffe; equal to them bit by bit on the golden cases.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from caffeport.errors import Refused
from caffeport.transform.picture import conform, decode, read_bytes
from caffeport.transform.preprocessing import Crop, Preprocessing
from caffeport.transform.resize import resize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Cut(NamedTuple):
    """One crop: its first row and column, its size, and whether it is mirrored left to right."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool


def load(prep: Preprocessing, picture: Any, where: str = "<picture>", decoder: str = "auto") -> NDArray[np.generic]:
    """A picture as (H, W, C), BGR: from a path, encoded bytes, or an array. `decoder` is as in `picture.decode`."""
    if isinstance(picture, (str, os.PathLike)):
        picture, where = read_bytes(picture), os.fspath(picture)
    if not isinstance(picture, (bytes, bytearray, memoryview)):
        return conform(picture, prep.colour, where)
    floor = (0, 0) if prep.resize is None else (prep.resize.height, prep.resize.width)
    return decode(bytes(picture), where, colour=prep.colour, exif=prep.exif, decoder=decoder, at_least=floor)


def prepare(
    prep: Preprocessing, picture: NDArray[np.generic], rng: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """(crops, C, H, W) float32 from (H, W, C) uint8 or 0..255 floats with BGR channels. Raises Refused."""
    import numpy as np

    unit = prep.value_range != 255
    if unit and prep.resize is not None and prep.resize.method == "pycaffe":
        picture, unit = picture.astype(np.float32) / np.float32(255), False  # pycaffe resizes pictures of 0..1
    image = sized(prep, picture)
    if image.shape[2] == 3 and prep.order == "RGB":
        image = image[:, :, ::-1]
    cuts = plan_cuts(prep, image.shape[0], image.shape[1], rng)
    planes, mean = image.transpose(2, 0, 1), mean_of(prep, image.shape[2])
    mean_per_crop = mean_is_of_crop(prep, image.shape, cuts[0])
    out = np.empty((len(cuts), image.shape[2], cuts[0].height, cuts[0].width), np.float32)
    if len(cuts) > 1 and not mean_per_crop:
        planes, mean = _arithmetic(prep, planes.astype(np.float32, order="C"), mean, unit), None  # once, not per crop
        for piece, cut in zip(out, cuts, strict=True):
            piece[:] = _cut_out(planes, cut)
        return out
    for piece, cut in zip(out, cuts, strict=True):
        piece[:] = _cut_out(planes, cut)
        # A mean of the picture's size is cut and mirrored with it (DataTransformer), one of the crop's is not.
        image_mean = prep.mean is not None and not mean_per_crop
        _arithmetic(prep, piece, _cut_out(mean, cut) if image_mean and mean is not None else mean, unit)
    return out


def _cut_out(planes: NDArray[Any], cut: Cut) -> NDArray[Any]:
    """The crop of (C, H, W) as a view."""
    piece = planes[:, cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
    return piece[:, :, ::-1] if cut.mirrored else piece


def _arithmetic(
    prep: Preprocessing, planes: NDArray[np.float32], mean: NDArray[np.float32] | None, unit: bool
) -> NDArray[np.float32]:
    """Raw scale, mean and scale, in place: each step rounds to float32 as Caffe's does."""
    import numpy as np

    if unit:
        planes /= np.float32(255)
    if prep.raw_scale != 1:
        planes *= np.float32(prep.raw_scale)
    if mean is not None:
        planes -= mean
    if prep.scale != 1:
        planes *= np.float32(prep.scale)
    return planes


def sized(prep: Preprocessing, picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """The picture resized, channels still BGR: uint8 unless the method is pycaffe's or the picture was float."""
    if prep.resize is None or picture.shape[:2] == (prep.resize.height, prep.resize.width):
        return picture
    return resize(picture, prep.resize.height, prep.resize.width, prep.resize.method)


def plan_cuts(prep: Preprocessing, height: int, width: int, rng: np.random.Generator | None = None) -> tuple[Cut, ...]:
    """Where the crops of a height x width picture lie; `rng` is needed where chance decides. Raises Refused."""
    if rng is None and (prep.mirror == "random" or (prep.crop is not None and prep.crop.mode == "random")):
        raise Refused(
            "preprocessing", "a random crop or mirror without a random generator", todo="pass rng, or use still()"
        )
    mirrored = prep.mirror == "always"
    if prep.mirror == "random" and rng is not None:
        mirrored = bool(rng.integers(2))
    crop = prep.crop
    if crop is None:
        return (Cut(0, 0, height, width, mirrored),)
    if crop.height > height or crop.width > width:
        raise Refused(
            "preprocessing",
            f"a crop of {crop.height} x {crop.width} out of a picture of {height} x {width}",
            "Caffe allows crops up to the picture's size",
            "resize first",
        )
    if crop.mode == "ten":
        return ten_cuts(crop, height, width)
    if crop.mode == "random" and rng is not None:
        top, left = int(rng.integers(height - crop.height + 1)), int(rng.integers(width - crop.width + 1))
    else:
        top, left = _centre(crop, height, width)
    return (Cut(top, left, crop.height, crop.width, mirrored),)


def ten_cuts(crop: Crop, height: int, width: int) -> tuple[Cut, ...]:
    """Caffe's ten crops: top left, top right, bottom left, bottom right, centre, and the same mirrored."""
    bottom, right = height - crop.height, width - crop.width
    places = ((0, 0), (0, right), (bottom, 0), (bottom, right), _centre(crop, height, width))
    return tuple(Cut(*place, crop.height, crop.width, mirrored) for mirrored in (False, True) for place in places)


def _centre(crop: Crop, height: int, width: int) -> tuple[int, int]:
    more = 1 if crop.centre == "up" else 0
    return (height - crop.height + more) // 2, (width - crop.width + more) // 2


def mean_is_of_crop(prep: Preprocessing, shape: tuple[int, ...], cut: Cut) -> bool:
    """Whether the mean image has the crop's size rather than the picture's. Raises Refused if it has neither."""
    if prep.mean is None:
        return False
    channels, height, width = prep.mean.shape
    if channels == shape[2] and (height, width) == shape[:2]:
        return False
    if channels == shape[2] and (height, width) == (cut.height, cut.width):
        return True
    raise Refused(
        "preprocessing",
        f"a mean image of {channels} x {height} x {width} for a picture of {shape[2]} x {shape[0]} x {shape[1]}",
        "Caffe allows a mean image of the picture's size (before the crop), pycaffe also one of the crop's",
    )


def mean_of(prep: Preprocessing, channels: int) -> NDArray[np.float32] | None:
    """The mean image, or the mean values as (C or 1, 1, 1). Raises Refused where their number is another."""
    import numpy as np

    if prep.mean is not None or not prep.mean_values:
        return None if prep.mean is None else prep.mean.array
    if len(prep.mean_values) not in (1, channels):
        raise Refused(
            "preprocessing", f"{len(prep.mean_values)} mean values for {channels} channels", "one, or one per channel"
        )
    return np.asarray(prep.mean_values, np.float32)[:, None, None]

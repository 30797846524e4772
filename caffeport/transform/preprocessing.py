"""`Preprocessing`: what happens to a picture before a net sees it, as plain, frozen, printable data.

The steps run in one order, which is both Caffe's DataTransformer's (src/caffe/data_transformer.cpp: mean, then scale)
and pycaffe's Transformer's (python/caffe/io.py: raw_scale, mean, input_scale):

    decode (colour, EXIF) -> channel order -> resize -> 0..value_range -> x raw_scale -> - mean -> x scale -> crops
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from caffeport.errors import Refused
from caffeport.transform.mean import MeanImage
from caffeport.transform.picture import COLOURS
from caffeport.transform.resize import METHODS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMAT: Final = 1
ORDERS: Final = ("BGR", "RGB")
CROPS: Final = ("centre", "random", "ten")
CENTRES: Final = ("down", "up")
MIRRORS: Final = ("never", "random", "always")
MAX_SIDE: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Resize:
    """Squash to height x width pixels; `method` is 'opencv', 'pycaffe' or 'pillow' (see `transform.resize`)."""

    height: int
    width: int
    method: str = "opencv"

    def __post_init__(self) -> None:
        _size("resize", self.height, self.width)
        _one_of("resize: method", self.method, METHODS)

    def __str__(self) -> str:
        return f"squash to {self.height} x {self.width} ({self.method}, bilinear)"


@dataclass(frozen=True, slots=True)
class Crop:
    """Cut height x width pixels: the `centre` one, one at `random`, or `ten` (corners, centre, and their mirrors).

    `centre` says which way an odd margin is halved: 'down' as DataTransformer and caffe.io.oversample do (offset 14 for
    227 of 256), 'up' as Caffe's MATLAB demos do (offset 15).
    """

    height: int
    width: int
    mode: str = "centre"
    centre: str = "down"

    def __post_init__(self) -> None:
        _size("crop", self.height, self.width)
        _one_of("crop: mode", self.mode, CROPS)
        _one_of("crop: centre", self.centre, CENTRES)

    def __str__(self) -> str:
        what = {"centre": "centre crop", "random": "random crop", "ten": "ten crops (corners, centre, their mirrors)"}
        odd = "" if self.mode == "random" else f", odd margins rounded {self.centre}"
        return f"{what[self.mode]} of {self.height} x {self.width}{odd}"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From a picture to a net's input; call it with a picture (see `__call__`).

    Args:
        colour: 'color' (three channels), 'gray' (one) or 'native' (as the file has it).
        order: the channel order that the net reads.
        exif: turn pictures as their EXIF orientation says; Caffe does not.
        resize: None keeps the picture's size.
        value_range: what a pixel of 255 counts as when the arithmetic begins: 255, or 1 as in caffe.io.load_image.
        raw_scale: multiplied before the mean (pycaffe's raw_scale).
        mean: subtracted, with the size of the resized picture or of the crop; channels in the net's order.
        mean_values: subtracted instead: one value, or one per channel, in the net's order.
        scale: multiplied last (transform_param's scale, pycaffe's input_scale).
        crop: None feeds the whole picture.
        mirror: 'never', 'random' (as transform_param's mirror, in both phases) or 'always'.

    Raises Refused for settings that contradict each other.
    """

    colour: str = "color"
    order: str = "BGR"
    exif: bool = False
    resize: Resize | None = None
    value_range: float = 255.0
    raw_scale: float = 1.0
    mean: MeanImage | None = None
    mean_values: tuple[float, ...] = ()
    scale: float = 1.0
    crop: Crop | None = None
    mirror: str = "never"

    def __post_init__(self) -> None:
        _one_of("colour", self.colour, COLOURS)
        _one_of("order", self.order, ORDERS)
        _one_of("mirror", self.mirror, MIRRORS)
        if self.value_range not in (1, 255):
            raise Refused("preprocessing", f"value_range is {self.value_range}", "1 or 255")
        for name, value in (("raw_scale", self.raw_scale), ("scale", self.scale)):
            if not math.isfinite(value) or value == 0:
                raise Refused("preprocessing", f"{name} is {value}", "a finite number other than 0 is needed")
        if self.mean is not None and self.mean_values:
            raise Refused("preprocessing", "has a mean image and mean values", "Caffe allows one of them")
        if not all(math.isfinite(value) for value in self.mean_values):
            raise Refused("preprocessing", f"mean values {self.mean_values}", "finite numbers are needed")
        if self.crop is not None and self.crop.mode == "ten" and self.mirror != "never":
            raise Refused(
                "preprocessing", f"ten crops with mirror '{self.mirror}'", "ten crops hold both sides already"
            )
        self._check_channels()
        self._check_sizes()

    def _check_sizes(self) -> None:
        """What no picture could go through is refused at once, not picture by picture."""
        size, crop = self.resize, self.crop
        if size is None:
            return
        if crop is not None and (crop.height > size.height or crop.width > size.width):
            raise Refused(
                "preprocessing",
                f"a crop of {crop.height} x {crop.width} out of pictures of {size.height} x {size.width}",
                "Caffe allows crops up to the picture's size",
            )
        fitting = [f"{one.height} x {one.width}" for one in (size, crop) if one is not None]
        if self.mean is not None and " x ".join(map(str, self.mean.shape[1:])) not in fitting:
            raise Refused(
                "preprocessing",
                f"a mean image of {' x '.join(map(str, self.mean.shape))}",
                f"{' (the resized picture) or '.join(fitting)}" + (" (the crop)" if crop is not None else ""),
                "give the mean image of this model, or change the resize",
            )

    def _check_channels(self) -> None:
        channels = {"color": 3, "gray": 1, "native": 0}[self.colour]
        if channels and len(self.mean_values) not in (0, 1, channels):
            raise Refused(
                "preprocessing",
                f"{len(self.mean_values)} mean values for {channels} channels",
                "one, or one per channel",
            )
        if channels and self.mean is not None and self.mean.shape[0] != channels:
            raise Refused("preprocessing", f"a mean image of {self.mean.shape[0]} channels for pictures of {channels}")

    def __call__(self, picture: Any, rng: np.random.Generator | None = None) -> NDArray[np.float32]:
        """(crops, C, H, W) float32 from a path, encoded bytes, or an array (H, W[, C]) of uint8 or 0..255 floats, BGR.

        `rng` draws random crops and mirrors. Raises UnreadableFile, and Refused where a size does not fit.
        """
        from caffeport.transform.apply import load, prepare

        return prepare(self, load(self, picture), rng)

    @property
    def crops(self) -> int:
        """How many inputs one picture becomes."""
        return 10 if self.crop is not None and self.crop.mode == "ten" else 1

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the net's input; None where it follows the picture."""
        chosen = self.crop or self.resize
        return None if chosen is None else (chosen.height, chosen.width)

    def still(self) -> Preprocessing:
        """The same without chance: centre crop for random crop, no mirror; what a TEST net would see."""
        crop = replace(self.crop, mode="centre") if self.crop is not None and self.crop.mode == "random" else self.crop
        return replace(self, crop=crop, mirror="never" if self.mirror == "random" else self.mirror)

    def decoding(self) -> dict[str, object]:
        """The part of `to_dict` that decides the bytes a packed picture holds: colour, exif, resize."""
        plain = self.to_dict()
        return {name: plain[name] for name in ("colour", "exif", "resize")}

    def means(self) -> dict[str, NDArray[np.float32]]:
        """The arrays that `to_dict` refers to, by their SHA-256."""
        return {} if self.mean is None else {self.mean.sha256: self.mean.array}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a mean image is referred to by its SHA-256 and shape (the array is in `means`)."""
        mean = None if self.mean is None else {"sha256": self.mean.sha256, "shape": list(self.mean.shape)}
        plain = {"format": FORMAT} | {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("resize", "crop"):
            part = plain[name]
            plain[name] = None if part is None else {item.name: getattr(part, item.name) for item in fields(part)}
        return plain | {"mean": mean, "mean_values": list(self.mean_values)}

    @classmethod
    def from_dict(
        cls, plain: Mapping[str, Any], means: Mapping[str, NDArray[np.float32]] | None = None
    ) -> Preprocessing:
        """The inverse of `to_dict`. Raises Refused for other keys, other types, or a mean image that is not at hand."""
        from caffeport.transform.plain import read_preprocessing

        return read_preprocessing(plain, means or {})

    def __str__(self) -> str:
        """The steps, one a line, in the order in which they run."""
        turned = ", turned by EXIF orientation" if self.exif else ""
        lines = [f"decode: {self.colour}{turned}, channels {self.order}"]
        lines += [] if self.resize is None else [f"resize: {self.resize}"]
        lines += [] if self.value_range == 255 else [f"values: 0 to {self.value_range:g}"]
        lines += [] if self.raw_scale == 1 else [f"raw scale: x {self.raw_scale:g}"]
        if self.mean is not None:
            size = " x ".join(map(str, self.mean.shape))
            about = ", ".join(f"{value:.3f}" for value in self.mean.values())
            lines.append(f"mean: image of {size}, channel means {about}, sha256 {self.mean.sha256[:12]}")
        elif self.mean_values:
            lines.append("mean: " + ", ".join(f"{value:g}" for value in self.mean_values))
        lines += [] if self.scale == 1 else [f"scale: x {self.scale:g}"]
        lines += [] if self.crop is None else [f"crop: {self.crop}"]
        lines += [] if self.mirror == "never" else [f"mirror: {self.mirror}"]
        return "\n".join(lines)


def _size(what: str, height: int, width: int) -> None:
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise Refused("preprocessing", f"{what} to {height} x {width}", f"sides from 1 to {MAX_SIDE} are allowed")


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise Refused("preprocessing", f"{what} is {value!r}", f"one of {', '.join(allowed)}")

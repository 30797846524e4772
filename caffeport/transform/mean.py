"""Mean images: from .binaryproto, .npy, .npz and .mat to (C, H, W) float32, referred to by their content."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caffeport.errors import Refused, UnreadableFile
from caffeport.transform.needs import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_VALUES: Final = 1 << 26
"""The most values a mean image may hold: 64 Mi, 85 times ImageNet's."""

MATLAB_AXES: Final = {"image_mean": "HWC", "mean_data": "WHC"}
"""The variables of the two mean files that Caffe's MATLAB demos load, and the order of their axes."""


@dataclass(frozen=True, eq=False)
class MeanImage:
    """A mean image, (C, H, W) float32, channels in the order that the net reads; equal by content (`sha256`)."""

    array: NDArray[np.float32] = field(repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        array = np.array(self.array, dtype="<f4", order="C")  # its own memory: the hash must stay true
        if array.ndim != 3 or array.size == 0:
            raise Refused("mean image", f"has shape {array.shape}", "(C, H, W) is needed")
        if not np.isfinite(array).all():
            raise Refused("mean image", "holds NaN or infinite values")
        array.flags.writeable = False
        object.__setattr__(self, "array", array)
        digest = hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()
        object.__setattr__(self, "sha256", digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MeanImage) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.array.shape
        return channels, height, width

    def values(self) -> tuple[float, ...]:
        """The mean of each channel."""
        return tuple(float(value) for value in self.array.mean((1, 2), dtype="float64"))


def load_mean(path: str | os.PathLike[str], *, axes: str = "", variable: str = "") -> MeanImage:
    """Read a mean image; BGR channels, as every mean file of Caffe's has, are kept in their order.

    Args:
        path: .binaryproto, .npy, .npz or .mat, told apart by content.
        axes: 'CHW', 'HWC' or 'WHC' where the file does not tell (see `MATLAB_AXES`).
        variable: which array of an .npz or .mat that holds several.

    Raises UnreadableFile, and Refused where the axes or the variable are ambiguous.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as stream:
            head = stream.read(128)
    except (OSError, ValueError) as error:
        raise UnreadableFile(name, f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if head.startswith(b"\x93NUMPY"):
        return MeanImage(_to_chw(_read_npy(name), axes, name))
    if head.startswith(b"PK\x03\x04"):
        return MeanImage(_to_chw(_read_npz(name, variable), axes, name))
    if head.startswith(b"MATLAB") or Path(name).suffix == ".mat":
        array, key = _read_mat(name, variable)
        return MeanImage(_to_chw(array, axes or MATLAB_AXES.get(key, ""), name))
    from caffeport.caffe.weights import read_mean

    return MeanImage(read_mean(name))


def _to_chw(array: NDArray[Any], axes: str, where: str) -> NDArray[np.float32]:
    """Axes to (C, H, W), told by the one axis of size 1 or 3 where the caller does not say."""
    import numpy as np

    if array.dtype.kind not in "fiu":
        raise UnreadableFile(where, f"holds values of type {array.dtype}", "a mean image holds numbers")
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array, axes = array[None], "C" + (axes.replace("C", "") or "HW")
    if array.ndim != 3:
        raise Refused(
            where, f"the mean has shape {array.shape}", "three axes are needed: a mean image, not a mean pixel"
        )
    if not axes:
        found = [order for order, at in (("CHW", 0), ("HWC", 2)) if array.shape[at] in (1, 3)]
        if len(found) != 1:
            raise Refused(
                where, f"the mean has shape {array.shape}: which axis is which?", "give axes: CHW, HWC or WHC"
            )
        axes = found[0]
    if sorted(axes) != ["C", "H", "W"]:
        raise Refused(where, f"axes {axes!r}", "CHW, HWC or WHC (any order of C, H and W)")
    return np.transpose(array, [axes.index(letter) for letter in "CHW"]).astype(np.float32)


def _check_count(shape: tuple[int, ...], where: str) -> None:
    count = 1
    for size in shape:
        count *= int(size)
    if count > MAX_VALUES:
        raise Refused(where, f"announces an array of shape {shape}", f"a mean image holds at most {MAX_VALUES} values")


def _read_npy(name: str) -> NDArray[Any]:
    """Read an .npy without pickles, its header checked against the size of the file by numpy's own mapping."""
    import numpy as np

    try:
        mapped = np.load(name, mmap_mode="r", allow_pickle=False)  # never allocates: a lying header fails the mapping
    except (ValueError, OSError, EOFError, OverflowError) as error:
        raise UnreadableFile(name, f"is no plain .npy array ({error})", "arrays of numbers, without pickles") from None
    _check_count(mapped.shape, name)
    return np.array(mapped)


def _read_npz(name: str, variable: str) -> NDArray[Any]:
    """Read one array of an .npz, sizes checked before anything is unpacked."""
    import numpy as np

    try:
        with zipfile.ZipFile(name) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            keys = [info.filename[:-4] for info in members]
            chosen = members[keys.index(_choose(keys, variable, name))]
            if chosen.file_size > MAX_VALUES * 8 + 4096:
                raise Refused(name, f"{chosen.filename} unpacks to {chosen.file_size} bytes", "that is no mean image")
            with archive.open(chosen) as stream:
                version = np.lib.format.read_magic(stream)
                header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                if version not in header:
                    raise UnreadableFile(name, f"{chosen.filename} has .npy version {version}", "1.0 and 2.0 are read")
                shape, _, dtype = header[version](stream)
                _check_count(shape, name)
                if dtype.hasobject:
                    raise UnreadableFile(name, f"{chosen.filename} holds pickled objects", "arrays of numbers only")
            with archive.open(chosen) as stream:
                return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        raise UnreadableFile(name, f"is no plain .npz archive ({error})") from None


def _read_mat(name: str, variable: str) -> tuple[NDArray[Any], str]:
    """One array of a MATLAB file (version 4 to 7), and its variable's name."""
    import numpy as np

    io = need("scipy.io", name)
    try:
        found = {key: shape for key, shape, kind in io.whosmat(name) if kind in ("double", "single", "uint8")}
        key = _choose(list(found), variable, name)
        _check_count(found[key], name)
        return np.asarray(io.loadmat(name, variable_names=[key])[key]), key
    except NotImplementedError:
        raise Refused(
            name, "is a MATLAB 7.3 file", "versions 4 to 7 are read", "save it by save(..., '-v7') or as .npy"
        ) from None
    except (ValueError, TypeError, OSError, EOFError, LookupError, zlib.error, io.matlab.MatReadError) as error:
        raise UnreadableFile(name, f"is no MATLAB file ({error})") from None


def _choose(keys: list[str], variable: str, where: str) -> str:
    """The variable asked for, the only one, or one that Caffe's demos name."""
    known = [key for key in keys if key in MATLAB_AXES]
    if variable in keys or (not variable and (len(keys) == 1 or len(known) == 1)):
        return variable or (known[0] if known else keys[0])
    raise Refused(
        where, f"holds the arrays {keys}" + (f", not {variable!r}" if variable else ""), todo="name one of them"
    )

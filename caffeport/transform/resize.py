"""Resize as the three tools did that Caffe-era models were fed by; the aspect is never kept (the picture is squashed).

- ``opencv``: cv::resize with INTER_LINEAR, as ReadImageToCVMat in BVLC Caffe's src/caffe/util/io.cpp.
- ``pycaffe``: caffe.io.resize_image (python/caffe/io.py) with the scikit-image of its days: order 1, no smoothing, and
  the picture's lowest value beyond its border, which darkens the outermost pixels when a picture is enlarged.
- ``pillow``: Pillow's BILINEAR, which smooths when it shrinks (the published ResMem transform).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from caffeport.errors import Refused
from caffeport.transform.needs import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METHODS: Final = ("opencv", "pycaffe", "pillow")


def resize(picture: NDArray[np.generic], height: int, width: int, method: str) -> NDArray[np.generic]:
    """Resize (H, W, C) to (height, width, C): 'opencv' keeps the type, 'pillow' takes bytes, 'pycaffe' gives floats."""
    if picture.shape[:2] == (height, width):
        return picture  # an identity in all three
    if method == "opencv":
        return resize_opencv(picture, height, width)
    if method == "pillow":
        return resize_pillow(picture, height, width)
    import numpy as np

    return resize_pycaffe(picture.astype(np.float32, copy=False), height, width)


def resize_opencv(picture: NDArray[np.generic], height: int, width: int) -> NDArray[np.generic]:
    """cv2.resize, bilinear; uint8 in OpenCV's own fixed-point arithmetic."""
    import numpy as np

    cv2 = need("cv2", "resize")
    channels = picture.shape[2]
    if channels > 512:
        raise Refused("resize", f"a picture of {channels} channels", "OpenCV resizes up to 512 channels")
    resized = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_LINEAR)
    result: NDArray[np.generic] = resized.reshape(height, width, channels)  # OpenCV drops a single channel's axis
    return result


def resize_pillow(picture: NDArray[np.generic], height: int, width: int) -> NDArray[np.generic]:
    """Pillow's BILINEAR on bytes, channel by channel as Pillow itself works: rows first, then columns.

    In two steps, because Pillow 13 chooses the order by cost, and rounding differs with it; models were made with
    versions that always began with the rows.
    """
    import numpy as np

    image = need("PIL.Image", "resize")
    if picture.dtype != np.uint8:
        raise Refused("resize", f"a picture of type {picture.dtype}", "Pillow's resize takes bytes (uint8)")
    planes = []
    for c in range(picture.shape[2]):
        plane = image.fromarray(np.ascontiguousarray(picture[:, :, c]))
        rows = plane.resize((width, plane.height), image.BILINEAR)
        planes.append(np.asarray(rows.resize((width, height), image.BILINEAR)))
    return np.stack(planes, axis=2)


def resize_pycaffe(picture: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """caffe.io.resize_image, order 1: (H, W, 1 or 3) float32 to (height, width, ...) float32."""
    import numpy as np

    if picture.shape[2] not in (1, 3):
        raise Refused("resize", f"{picture.shape[2]} channels", "pycaffe's resize is defined for 1 or 3 channels here")
    low, high = picture.min(), picture.max()
    if not high > low:
        return np.full((height, width, picture.shape[2]), low, np.float32)
    unit = (picture - low) / (high - low)
    resized = _interpolate(_interpolate(unit, height, 0), width, 1)
    result: NDArray[np.float32] = (resized * np.float64(high - low) + np.float64(low)).astype(np.float32)
    return result


def _interpolate(image: NDArray[np.floating], target: int, axis: int) -> NDArray[np.float64]:
    """Linear interpolation between pixel centres along one axis, with zero beyond the border."""
    import numpy as np

    size = image.shape[axis]
    at = (np.arange(target) + 0.5) * (size / target) - 0.5
    first = np.floor(at).astype(int)
    shape = [1, 1, 1]
    shape[axis] = target
    total = np.zeros((), np.float64)
    for tap, weight in ((first, 1 - (at - first)), (first + 1, at - first)):
        inside = (tap >= 0) & (tap < size)
        total = total + image.take(tap.clip(0, size - 1), axis) * (weight * inside).reshape(shape)
    return total

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

WritePictures = Callable[..., list[str]]


@pytest.fixture
def write_pictures(tmp_path: Path) -> WritePictures:
    """Write small noise pictures at the paths given (below tmp_path), and give the paths back."""

    def write(*names: str, size: tuple[int, int] = (9, 11)) -> list[str]:
        rng = np.random.default_rng(0)
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (*size, 3), np.uint8))
        return list(names)

    return write

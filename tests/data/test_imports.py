"""Nothing heavy is imported before it is needed, and a missing package is a sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from caffeport.data import Hdf5Source, LmdbSource
from caffeport.errors import Refused
from caffeport.transform import decode, load_mean

GOLDEN = Path(__file__).parents[2] / "golden/transforms"


def test_importing_is_light() -> None:
    code = "import sys, caffeport.data, caffeport.transform as t; t.load_profile('memnet'); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numpy", "torch", "onnx", "cv2", "lmdb", "h5py", "scipy", "PIL", "simplejpeg"}
    assert not heavy & set(out)


@pytest.mark.parametrize("package", ["lmdb", "h5py", "cv2", "scipy.io"])
def test_a_missing_package_is_named(package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("caffeport.data.databases._OPEN", {})
    (tmp_path / "mean.mat").write_bytes(b"MATLAB 5.0")
    use: dict[str, Callable[[], object]] = {
        "lmdb": lambda: LmdbSource(GOLDEN / "lmdb-raw"),
        "h5py": lambda: Hdf5Source(GOLDEN / "data.h5"),
        "cv2": lambda: decode((GOLDEN / "images/p0.png").read_bytes()),
        "scipy.io": lambda: load_mean(tmp_path / "mean.mat"),
    }
    with pytest.raises(Refused, match=r"the package '(lmdb|h5py|opencv-python-headless|scipy)' is needed.*pip install"):
        use[package]()


def test_jpegs_decode_without_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2
    import numpy as np

    data = bytes(cv2.imencode(".jpg", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))[1])
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert decode(data).shape == (4, 4, 3)
    with pytest.raises(Refused, match="simplejpeg"):
        decode(data, decoder="simplejpeg")

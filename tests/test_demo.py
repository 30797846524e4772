"""The demo runs, and what it prints is what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_demo(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "caffeport.demo", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "agrees with Caffe as memnet.pt, memnet.py, memnet.safetensors and memnet.onnx" in done.stdout
    lines = done.stdout.splitlines()
    own = next(line for line in lines if "image.png," in line).rpartition(",")[2]
    caffes = next(line for line in lines if line.startswith("Real Caffe's score")).rpartition(" ")[2]
    assert float(own) == pytest.approx(float(caffes), rel=1e-5)
    made = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"memnet.pt", "memnet.py", "memnet.safetensors", "memnet.onnx", "parity.html"} <= made

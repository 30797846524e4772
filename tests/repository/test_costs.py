"""What the everyday verbs cost on a full-size file, in memory and processor time.

Processor time, not wall time: the test must say the same on a busy machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caffeport.bench.files import CASE, WRITE

SMALL = Path(__file__).parents[2] / "golden" / "formats" / "v2" / "net.caffemodel"


@pytest.fixture(scope="module")
def memnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full-size MemNet .caffemodel, written by another process: its memory must not count in ours."""
    file = tmp_path_factory.mktemp("costs") / "memnet.caffemodel"
    subprocess.run([sys.executable, "-c", WRITE, str(CASE / "net.prototxt"), str(file)], check=True)
    return file


def cost(*arguments: object) -> tuple[float, int]:
    """Processor seconds and peak resident bytes of a verb: the least of three runs, started from a small process."""
    command = [sys.executable, "-m", "caffeport", *map(str, arguments)]
    code = (
        "import os, resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    runs = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
        seconds, peak = done.stdout.split()
        runs.append((float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024)))
    return min(seconds for seconds, _ in runs), min(peak for _, peak in runs)


@pytest.mark.slow
def test_inspect_does_not_read_the_weights(memnet: Path) -> None:
    seconds, peak = cost("inspect", memnet)
    small_seconds, small_peak = cost("inspect", SMALL)
    assert peak - small_peak < 60e6
    # Side by side, not in seconds: how fast the machine is, and how busy, is not ours to say. `make bench` has seconds.
    assert seconds < 2 * small_seconds


@pytest.mark.slow
def test_converting_needs_no_more_memory_than_the_file(memnet: Path, tmp_path: Path) -> None:
    _, peak = cost("convert", CASE / "net.prototxt", memnet, "-o", tmp_path / "memnet.safetensors")
    assert peak < 1.3 * os.path.getsize(memnet)

"""Verifying a full-size MemNet with a report stays below four times its weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memnet_with_a_report(golden: Path, tmp_path: Path) -> None:
    program = """
import json, sys, time
from caffeport.cli import main
start = time.perf_counter()
try:
    main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
# Not ru_maxrss: that counts the memory of the process that started this one too.
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([code, int(peak) * 1024, time.perf_counter() - start]))
"""
    report = tmp_path / "report.html"
    command = [sys.executable, "-c", program, "verify", str(golden / "nets/memnet"), "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, most, seconds = json.loads(done.stdout.splitlines()[-1])
    weights = 4 * 56_872_321
    assert code == 0
    assert most < 4 * weights, f"{most / weights:.2f} times the weights"
    # 7 s on two cores; the bound leaves room for machines that do other things too.
    assert seconds < 60
    assert report.stat().st_size < 1_000_000

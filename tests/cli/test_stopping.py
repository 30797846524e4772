"""Runs that are ended, full disks and missing packages: one sentence, exit code 2, and nothing half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffeport.cli import main, outputs
from caffeport.errors import Refused

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = GOLDEN / "formats" / "v1-legacy-blobs"
CONVERT = ("convert", str(TINY / "net.prototxt"), str(TINY / "net.caffemodel"))

#: A process with busy workers, which is interrupted as a terminal does it: all of its processes at once.
WORKING = """
import time
from caffeport.data.processes import processes
if __name__ == "__main__":
    try:
        with processes(2, time.sleep, "test") as submit:
            futures = [submit(0.5) for _ in range(6)]
            futures[0].result()
            print("ready", flush=True)
            [future.result() for future in futures]
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""

#: A conversion that stands still while it writes.
WRITING = """
import sys, time
from caffeport.artefacts import checkpoint
from caffeport.cli import main
checkpoint.torch.save = lambda content, part: (print("ready", flush=True), time.sleep(60))
main(sys.argv[1:])
"""


def ended(script: str, number: int, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script that gets a signal once it says that it is ready."""
    (folder / "script.py").write_text(script)
    command = [sys.executable, str(folder / "script.py"), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.1)
        os.killpg(child.pid, number)
        out, err = child.communicate(timeout=60)
        return child.returncode, out, err


def test_workers_are_quiet_when_the_user_stops_a_run(tmp_path: Path) -> None:
    assert ended(WORKING, signal.SIGINT, tmp_path) == (0, "stopped\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_ended_conversion_leaves_no_half_file(tmp_path: Path, number: int) -> None:
    code, _, err = ended(WRITING, number, tmp_path, *CONVERT, "-o", str(tmp_path / "out.pt"))
    assert (code, err.strip()) == (2, "stopped")
    assert [file.name for file in tmp_path.iterdir()] == ["script.py"]


def test_a_full_disk_names_the_output(tmp_path: Path) -> None:
    full = pytest.raises(Refused, match=r"out\.csv: cannot be written \(No space left on device\); go on")
    with full, outputs.writing(tmp_path / "out.csv", "go on"):
        raise OSError(28, "No space left on device")
    with pytest.raises(Refused, match=r"takes 1,125,899,906,842,624 bytes and [\d,]+ are free"):
        outputs.check_file(tmp_path / "out.pt", 1 << 50)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-o", "{}/none/out.pt"), "there is no folder '{}/none'; make it first"),
        (("-o", "{}/out.pt", "--with-preprocessing"), "--with-preprocessing: is given without an .onnx to write"),
        (("-o", "{}/out.onnx", "--score", "memorability"), "--score: is given without --with-preprocessing"),
        (("-o", "{}/out.onnx", "--picture-layout", "nchw"), "--picture-layout: is given without --with-preprocessing"),
        (("-o", "{}/out.pt", "--resize", "41", "--crop", "34"), "gives 3 x 34 x 34 and the net reads 3 x 35 x 35"),
        (("-o", "{}/out.pt", "--resize", "34", "--crop", "35"), "a crop of 35 x 35 out of pictures of 34 x 34"),
        (("-o", "{}/out.pt", "--resize", "much"), "--resize: is 'much'; 256, 256x227"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*CONVERT, *(argument.format(tmp_path) for argument in arguments)])
    assert stop.value.code == 2
    assert sentence.format(tmp_path) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_broken_installation_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "caffeport.artefacts", None)
    with pytest.raises(SystemExit) as stop:
        main([*CONVERT, "-o", str(tmp_path / "out.pt")])
    assert stop.value.code == 2
    assert "a package that it needs cannot be imported" in capsys.readouterr().err

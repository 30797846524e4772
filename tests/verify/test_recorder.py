"""The recorder, run against a stand-in for pycaffe that answers from a case real Caffe recorded; and the check."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffeport.errors import BadCase, CaffeportError
from caffeport.verify.case import open_case
from caffeport.verify.recorder import check_case, write_script
from caffeport.verify.run import verify

STAND_IN = Path(__file__).parent / "stand_in"


def record(source: Path, work: Path, *options: str, **script: object) -> subprocess.CompletedProcess[str]:
    """Write the script for a case's files, and run it where the stand-in is `caffe`."""
    weights = source / "net.caffemodel"
    shutil.copy(source / "net.prototxt", work)
    if weights.exists():
        shutil.copy(weights, work)
    write_script(
        work / "net.prototxt",
        work / "net.caffemodel" if weights.exists() else None,
        work / "record.py",
        **script,  # type: ignore[arg-type]
    )
    with np.load(source / "golden.npz") as golden:
        inputs = {name[3:]: golden[name] for name in golden.files if name.startswith("in/")}
    np.savez(work / "inputs.npz", **inputs)
    return subprocess.run(
        [sys.executable, "-W", "error", "record.py", "--input", "inputs.npz", *options],
        cwd=work,
        env={"PYTHONPATH": str(STAND_IN), "CAFFE_STAND_IN": str(source), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "case", ["formats/v2", "layers/graph/in-place-after-fan-out", "layers/lrn/k2", "layers/slice/even"]
)
def test_a_recording_is_the_case_it_was_made_of(case: str, golden: Path, tmp_path: Path) -> None:
    done = record(golden / case, tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "golden-case"
    ours, theirs = (open_case(path).arrays for path in (folder, golden / case))
    wanted = [name for name in theirs if name.startswith(("in/", "top/"))]
    assert sorted(ours) == sorted(wanted)
    for name in wanted:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert all(result.passed for result in verify(open_case(folder)))
    checked = check_case(folder)
    assert checked.format == 1
    assert checked.oracle.startswith("pycaffe 1.0.0")
    assert not checked.remarks


def test_gradients_and_changed_statistics_are_recorded(golden: Path, tmp_path: Path) -> None:
    """Of a net with losses: its gradients need no seed of ours."""
    source = golden / "fuzz" / "train-005000"
    done = record(source, tmp_path, phase="TRAIN", backward=True)
    assert done.returncode == 0, done.stderr
    case = open_case(tmp_path / "golden-case")
    theirs = open_case(source).arrays
    for name in theirs:
        if name.startswith(("after/", "dparam/")):
            np.testing.assert_array_equal(case.arrays[name], theirs[name])
    assert case.meta["backward"]
    assert case.graph.net.phase == "TRAIN"
    assert check_case(case.folder).gradients > 0


def test_script_is_old_python_too(golden: Path, tmp_path: Path) -> None:
    """No syntax that Python 2.7 lacks, and nothing imported but numpy, caffe and the standard library."""
    write_script(golden / "formats/v2/net.prototxt", golden / "formats/v2/net.caffemodel", tmp_path / "record.py")
    tree = ast.parse((tmp_path / "record.py").read_text())
    new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Nonlocal, ast.YieldFrom)
    imported = set()
    for node in ast.walk(tree):
        assert not isinstance(node, new), ast.dump(node)
        if isinstance(node, ast.FunctionDef):
            assert not node.args.kwonlyargs
            assert node.returns is None
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        if isinstance(node, ast.Raise):
            assert node.cause is None
    assert imported == {"argparse", "hashlib", "json", "os", "re", "shutil", "sys", "tempfile", "numpy", "caffe"}


def test_other_files_are_not_recorded_by_mistake(golden: Path, tmp_path: Path) -> None:
    assert record(golden / "layers/lrn/k2", tmp_path).returncode == 0
    with open(tmp_path / "net.prototxt", "a") as net:
        net.write("# changed\n")
    command = [sys.executable, "record.py", "--out", "second"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is another file than this script was written for" in done.stderr


def test_names_of_files_stay_data(golden: Path, tmp_path: Path) -> None:
    evil = tmp_path / "net'''+__import__('os').getcwd()+'''$x\\.prototxt"
    shutil.copy(golden / "layers/lrn/k2/net.prototxt", evil)
    write_script(evil, None, tmp_path / "record.py")
    tree = ast.parse((tmp_path / "record.py").read_text())
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert any(json.loads(text)["net"]["name"] == evil.name for text in strings if text.startswith("{"))


def test_no_script_for_files_that_do_not_fit(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(CaffeportError, match="has no weights"):
        write_script(golden / "formats/v2/net.prototxt", golden / "layers/scale/bias/net.caffemodel", tmp_path / "r.py")
    with pytest.raises(CaffeportError, match="phase"):
        write_script(golden / "formats/v2/net.prototxt", None, tmp_path / "r.py", phase="test")
    assert not (tmp_path / "r.py").exists()


def test_check_remarks_a_changed_net(golden: Path, tmp_path: Path) -> None:
    assert record(golden / "layers/lrn/k2", tmp_path).returncode == 0
    with open(tmp_path / "golden-case" / "net.prototxt", "a") as net:
        net.write("# changed\n")
    assert check_case(tmp_path / "golden-case").remarks == (
        "net.prototxt is another file than the recorder was written for",
    )


@pytest.mark.parametrize("case", ["layers/lrn/k2", "formats/v2-hdf5", "fuzz/train-005003"])
def test_check_passes_what_caffe_recorded(case: str, golden: Path) -> None:
    assert check_case(golden / case).tops > 0


def test_check_refuses_a_case_without_an_input(golden: Path, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    shutil.copytree(golden / "layers/lrn/k2", folder)
    with np.load(folder / "golden.npz") as data:
        rest = {name: data[name] for name in data.files if name != "top/1/0"}
    np.savez(folder / "golden.npz", **rest)
    with pytest.raises(BadCase, match="has no top/1/0"):
        check_case(folder)

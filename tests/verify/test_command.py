"""The verbs verify and golden from the command line: exit codes, reports, what is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from caffeport.cli import main

from .mutating import reread


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_reports_of_every_kind(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [tmp_path / f"report{suffix}" for suffix in (".html", ".md", ".json")]
    options = [part for report in reports for part in ("--report", report)]
    code, out, _ = run(capsys, "verify", golden / "formats" / "v2", *options)
    assert code == 0
    assert "formats/v2 agrees with Caffe as module, source and onnx" in out
    assert all(report.stat().st_size > 1000 for report in reports)
    code, _, err = run(capsys, "verify", golden / "formats" / "v2", "--report", tmp_path / "report.pdf")
    assert code == 2
    assert "no report has the suffix" in err


def test_a_wrong_port_is_told_and_cut_out(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reread("LRN", alpha=1.0)(monkeypatch)
    code, out, _ = run(capsys, "verify", golden / "formats" / "v2", "--bisect", tmp_path / "piece")
    assert code == 1
    assert "first wrong: layer 'norm1' (LRN), as module, source, onnx" in out
    assert "suspected cause, confirmed by recomputation: alpha is dropped" in out
    assert "it fails by itself" in out
    assert run(capsys, "verify", tmp_path / "piece")[0] == 1
    monkeypatch.undo()
    assert run(capsys, "verify", tmp_path / "piece")[0] == 0


def test_shipped_files(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case, model = golden / "formats" / "v2", tmp_path / "model.onnx"
    run(capsys, "convert", case / "net.prototxt", case / "net.caffemodel", "-o", model)
    code, out, _ = run(capsys, "verify", model, "--golden", case, "--report", tmp_path / "shipped.json")
    assert code == 0
    assert "model.onnx: 1 of 1 cases agree with Caffe" in out
    report = json.loads((tmp_path / "shipped.json").read_text())
    assert "model.onnx" in [file["name"] for file in report["cases"][0]["files"]]
    code, out, _ = run(capsys, "verify", tmp_path / "missing.onnx", "--golden", case)
    assert code == 2
    assert "is not a file" in out


def test_witnesses(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2", reason="decodes the picture")
    case, picture = golden / "formats" / "v2", golden / "memnet-predict" / "image.png"
    files = case / "net.prototxt", case / "net.caffemodel"
    code, out, _ = run(capsys, "verify", *files, "--input", picture, "--report", tmp_path / "evidence.html")
    assert code == 0
    assert "agrees with its witnesses as source, onnx and opencv" in out
    assert "Witnesses are evidence, not Caffe" in out
    assert "evidence, not Caffe" in (tmp_path / "evidence.html").read_text()
    assert run(capsys, "verify", *files, "--input", picture, "--golden", case)[0] == 2
    assert run(capsys, "verify", *files, "--input", picture, "--on", "module")[0] == 2


@pytest.mark.parametrize("broken", ["pickle", "format", "net"])
def test_broken_cases_exit_with_2(
    broken: str, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "case"
    shutil.copytree(golden / "formats" / "v2", folder)
    if broken == "pickle":
        np.savez(folder / "golden.npz", **{"in/data": np.array([{}], dtype=object)})  # type: ignore[arg-type]
    elif broken == "format":
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(meta | {"format": 99}))
    else:
        shutil.copy(golden / "layers/lrn/k2/net.prototxt", folder)
    code, out, _ = run(capsys, "verify", folder, golden / "layers" / "lrn" / "k2")
    assert code == 2
    assert "REFUSED" in out
    assert "module: 1 of 1 cases agree" in out, "the other case is verified all the same"


def test_golden_script_and_check(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = golden / "formats" / "v2"
    code, out, _ = run(
        capsys,
        "golden",
        "script",
        case / "net.prototxt",
        case / "net.caffemodel",
        "-o",
        tmp_path / "r.py",
        "--backward",
    )
    assert code == 0
    assert "bvlc/caffe:cpu python r.py" in out
    assert '"backward": true' in (tmp_path / "r.py").read_text()
    code, out, _ = run(capsys, "golden", "check", golden / "layers" / "lrn")
    assert code == 0
    assert "format 1, TEST, 2 layers, 2 tops, 1 gradients" in out
    code, _, err = run(capsys, "golden", "check", tmp_path)
    assert code == 2
    assert "holds no golden case" in err

"""`caffeport predict`: inputs of every kind, tables and features, broken pictures, runs that were stopped."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffeport.cli import main
from caffeport.predict.decoding import Work
from caffeport.predict.tables import read_table

from .conftest import GOLDEN, MakePictures


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def names(out: str) -> list[str]:
    return [line.split(",")[0] for line in out.splitlines()[1:]]


def test_files_folders_and_globs(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(path) for path in pictures(4)]
    where = str(Path(paths[0]).parent)
    for given in (paths, [where], [f"{where}/*.png"], [paths[0], paths[0], f"{where}/00[1-3].png"]):
        code, out, _ = run(capsys, "predict", models / "model.pt", *given)
        assert code == 0
        assert names(out) == paths
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(paths).encode())))
    code, out, _ = run(capsys, "predict", models / "model.pt", "-")
    assert (code, names(out)) == (0, paths)


def test_lists_have_labels_and_their_own_folder(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures
) -> None:
    paths = pictures(3)
    spaced = paths[2].rename(paths[2].with_name("with space 7"))
    (paths[0].parent / "list.txt").write_text(f"000.png 0.5\n001.png 1\n{spaced.name}\n")
    code, out, _ = run(capsys, "predict", models / "model.pt", paths[0].parent / "list.txt")
    rows = [line.split(",") for line in out.splitlines()]
    assert code == 0
    assert rows[0] == ["name", "label", "score"]
    assert [row[:2] for row in rows[1:]] == [["000.png", "0.5"], ["001.png", "1"], ["with space 7", ""]]


def test_an_lmdb(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    code, out, _ = run(capsys, "predict", models / "model.onnx", GOLDEN / "transforms" / "lmdb-encoded", "--crops", 1)
    assert code == 0
    assert names(out) == ["00000000", "00000001", "00000002", "00000003"]


def test_broken_pictures_are_told_at_the_end(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures
) -> None:
    paths = pictures(3)
    paths[1].write_bytes(paths[0].read_bytes()[:100])
    code, out, err = run(capsys, "predict", models / "front.onnx", *paths, "nowhere.jpg")
    assert code == 1
    assert names(out) == [str(paths[0]), str(paths[2])]
    assert "2 of 4 pictures could not be predicted:" in err
    assert "cut short" in err
    assert "nowhere.jpg: cannot be read (No such file or directory)" in err


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures, tmp_path: Path, suffix: str
) -> None:
    paths, table = pictures(5), tmp_path / f"scores{suffix}"
    code, _, _ = run(capsys, "predict", models / "model.pt", *paths[:3], "-o", table, "--score", "half", "--each-crop")
    assert code == 0
    first = read_table(table)
    assert [row["name"] for row in first] == [str(path) for path in paths[:3]]
    for row in first:
        crops = [row[f"crop_{place}"] for place in range(10)]
        assert row["raw"] == pytest.approx(np.mean(crops), rel=1e-5)
        assert row["score"] == pytest.approx(min(max((row["raw"] - 1) * 0.5 + 0.25, -9), 9), rel=1e-5)
    code, _, err = run(capsys, "predict", models / "model.pt", *paths, "-o", table)
    assert (code, err) == (2, f"{table}: exists already; give --resume to go on with it, or remove it\n")
    more = ("--score", "half", "--each-crop", "--resume")
    code, _, err = run(capsys, "predict", models / "model.pt", *paths, "-o", table, *more)
    assert code == 0
    assert "3 of 5 are there already" in err
    again = read_table(table)
    assert [row["name"] for row in again] == [str(path) for path in paths]
    assert again[:3] == first
    code, _, err = run(
        capsys, "predict", models / "model.pt", tmp_path / "more.png", *pictures(6)[5:], "-o", table, "--resume"
    )
    assert code == 2
    assert "this run gives name, score" in err


class Stopped(Exception):
    """Stands for a killed process."""


@pytest.mark.parametrize("features", [False, True])
def test_a_stopped_run_goes_on(
    capsys: pytest.CaptureFixture[str],
    models: Path,
    pictures: MakePictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    features: bool,
) -> None:
    paths, output = pictures(20), tmp_path / ("out.npz" if features else "out.csv")
    arguments: Sequence[Any] = ("predict", models / "model.pt", *paths, "-o", output)
    arguments = (*arguments, "--blob", "fc6") if features else arguments
    with monkeypatch.context() as patch:
        patch.setattr("caffeport.cli.predict.GROUP", 2)
        patch.setattr(Work, "run", _stop_at(17))
        patch.setattr(Work, "one", _stop_at(17))
        with pytest.raises(Stopped):
            run(capsys, *arguments, "--batch", 10)
    capsys.readouterr()
    assert not output.exists()
    other = (*arguments[:-1], "conv1") if features else (*arguments, "--crops", 1)
    code, _, err = run(capsys, *other)
    assert code == 2
    assert "is left of a run with another model or other settings" in err
    code, _, err = run(capsys, *arguments)
    assert code == 0
    assert "of 20 are there already" in err
    assert not list(tmp_path.glob("*.partial"))
    whole = tmp_path / f"whole{output.suffix}"
    run(capsys, "predict", models / "model.pt", *paths, "-o", whole, *arguments[len(paths) + 4 :])
    if features:
        a, b = np.load(output), np.load(whole)
        assert list(a["name"]) == list(b["name"]) == [str(path) for path in paths]
        np.testing.assert_allclose(a["fc6"], b["fc6"], rtol=1e-4, atol=1e-4)
    else:
        assert [row["name"] for row in read_table(output)] == [row["name"] for row in read_table(whole)]


def _stop_at(place: int) -> Any:
    one, many = Work.one, Work.run

    def stopping(self: Work, given: Any) -> Any:
        if given == place or (not isinstance(given, int) and place in given):
            raise Stopped
        return one(self, given) if isinstance(given, int) else many(self, given)

    return stopping


@pytest.mark.parametrize("each", [False, True])
def test_features(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures, tmp_path: Path, each: bool
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    paths = pictures(3)
    arguments = (
        "predict",
        models / "model.onnx",
        *paths,
        "--blob",
        "fc6",
        "--blob",
        "pool2",
        *(["--each-crop"] * each),
    )
    assert run(capsys, *arguments, "-o", tmp_path / "f.npz")[0] == 0
    assert run(capsys, *arguments, "-o", tmp_path / "f.parquet")[0] == 0
    arrays = np.load(tmp_path / "f.npz")
    assert list(arrays["name"]) == [str(path) for path in paths]
    assert arrays["fc6"].shape == ((3, 10, 16) if each else (3, 16))
    table = parquet.read_table(str(tmp_path / "f.parquet"))
    for blob in ("fc6", "pool2"):
        shape = json.loads(table.schema.field(blob).metadata[b"shape"])
        flat = np.array(table[blob].to_pylist(), np.float32)
        np.testing.assert_array_equal(flat.reshape(3, *shape), arrays[blob])
    assert run(capsys, *arguments)[0] == 2
    assert run(capsys, *arguments, "-o", tmp_path / "f.txt")[0] == 2


def test_settings_on_the_command_line(capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures) -> None:
    (path,) = pictures(1)
    code, _, err = run(capsys, "predict", models / "bare.pt", path)
    assert code == 2
    assert "does not say how pictures are prepared" in err
    code, out, _ = run(capsys, "predict", models / "bare.pt", path, "--resize", "35x35", "--mean-values", "104,117,123")
    assert code == 0
    assert names(out) == [str(path)]
    code, _, err = run(capsys, "predict", models / "model.pt", path, "--score", "sharp")
    assert (code, err) == (2, "--score: is 'sharp'; the model has raw, half\n")


def test_a_profile_on_the_command_line(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures, tmp_path: Path
) -> None:
    (path,) = pictures(1)
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "own"\nbase = "memnet"\n[preprocessing]\nresize = { height = 40, width = 40 }\n'
        "crop = { height = 35, width = 35 }\n"
    )
    code, _, err = run(capsys, "predict", models / "bare.pt", path, "--profile", own)
    assert code == 2
    assert "needs the model's mean image" in err
    code, out, _ = run(
        capsys, "predict", models / "bare.pt", path, "--profile", own, "--published-mean", "--score", "memorability"
    )
    assert code == 0
    assert out.startswith("name,score,raw\n")
    own.write_text(
        'name = "own"\n[preprocessing]\nmean = "image"\nresize = { height = 41, width = 47 }\n'
        "crop = { height = 35, width = 35 }\n"
    )
    carried = run(capsys, "predict", models / "model.pt", path, "--profile", own)
    assert carried[0] == 0  # the mean image is the one that the model carries
    assert run(capsys, "predict", models / "bare.pt", path, "--profile", own)[0] == 2


def test_convert_stores_the_preprocessing(
    capsys: pytest.CaptureFixture[str], pictures: MakePictures, tmp_path: Path
) -> None:
    (path,) = pictures(1)
    case = GOLDEN / "formats" / "v1-legacy-blobs"
    files = [tmp_path / f"net{suffix}" for suffix in (".pt", ".onnx", ".pt2", ".py")]
    settings = ("--resize", "39x41", "--crop", "35x35", "--mean-values", "104", "--scale", "0.5", "--crops", 10)
    outputs = [part for file in files for part in ("-o", file)]
    code, out, _ = run(capsys, "convert", case / "net.prototxt", case / "net.caffemodel", *outputs, *settings)
    assert code == 0
    assert "ten crops" in out
    scores = [run(capsys, "predict", file, path)[1].splitlines()[1].split(",")[1] for file in files[:3]]
    np.testing.assert_allclose([float(score) for score in scores], float(scores[0]), rtol=1e-4)
    code, _, err = run(
        capsys,
        "convert",
        case / "net.prototxt",
        case / "net.caffemodel",
        "-o",
        tmp_path / "x.onnx",
        "--with-preprocessing",
    )
    assert code == 2
    assert "has no preprocessing to put inside" in err


def test_names_that_are_no_text(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures, tmp_path: Path
) -> None:
    """A name of other bytes than UTF-8 is written as text, in every format, with its picture still found."""
    pictures(1)[0].rename(tmp_path / os.fsdecode(b"bad\xff.png"))
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone.png")
    for suffix in (".csv", ".jsonl", ".parquet"):
        table = tmp_path / f"out{suffix}"
        code, _, err = run(capsys, "predict", models / "model.pt", tmp_path, "-o", table)
        assert code == 1
        assert "nowhere.png: cannot be read" in err
        assert [row["name"] for row in read_table(table)] == [f"{tmp_path}/bad\\udcff.png"]
    code, out, _ = run(capsys, "predict", models / "model.pt", os.fspath(tmp_path / os.fsdecode(b"bad\xff.png")))
    assert (code, names(out)) == (0, [f"{tmp_path}/bad\\udcff.png"])


def test_a_table_of_other_settings_does_not_go_on(
    capsys: pytest.CaptureFixture[str], models: Path, pictures: MakePictures, tmp_path: Path
) -> None:
    paths, table = pictures(3), tmp_path / "scores.csv"
    assert run(capsys, "predict", models / "model.pt", *paths[:2], "-o", table)[0] == 0
    before = table.read_text()
    code, _, err = run(capsys, "predict", models / "model.pt", *paths, "-o", table, "--resume", "--crops", 1)
    assert code == 2
    assert f"{table}: says score" in err
    assert "one model and one setting in a table" in err
    assert (table.read_text(), list(tmp_path.glob("*.partial"))) == (before, [])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_package_ends_the_run(models: Path, pictures: MakePictures, tmp_path: Path, workers: int) -> None:
    """No fault of the pictures: they are not called broken one by one."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['cv2'] = None")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "caffeport", "predict", models / "model.pt", *pictures(20), "--workers", str(workers)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the package 'opencv-python-headless' is needed here" in done.stderr

"""Nets trained by others, through convert and evaluate, to the accuracy that their authors state."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from caffeport.cli import main

from .databases import datum, write_lmdb


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="session")
def mnist(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LMDB of the 10,000 test digits."""
    files = [shared / "models" / "data" / f"mnist_t10k-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")]
    raw = [gzip.decompress(file.read_bytes()) for file in files]
    digits = np.frombuffer(raw[0], np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.frombuffer(raw[1], np.uint8, offset=8)
    records = (datum(digit, int(label)) for digit, label in zip(digits, labels, strict=True))
    return write_lmdb(tmp_path_factory.mktemp("mnist") / "lmdb", records)


@pytest.mark.parametrize(("era", "correct"), [("v1", 9905), ("v2", 9914)])
@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
def test_lenet_on_mnist(
    capsys: pytest.CaptureFixture[str],
    shared: Path,
    mnist: Path,
    tmp_path: Path,
    era: str,
    correct: int,
    suffix: str,
) -> None:
    case, model = shared / "models" / f"lenet_{era}", tmp_path / f"lenet{suffix}"
    weights = case / "lenet_iter_10000.caffemodel"
    settings = ("--colour", "gray", "--scale", "0.00390625")
    assert run(capsys, "convert", case / "lenet.prototxt", weights, "-o", model, *settings)[0] == 0
    code, out, _ = run(capsys, "evaluate", model, mnist, "--json")
    found = json.loads(out)["views"]["whole picture"]
    assert code == 0
    assert (found["count"], found["correct"], found["top1"]) == (10000, correct, correct / 10000)


CIFAR = {
    "cifar10_quick_v1": ("cifar10_quick.prototxt", "cifar10_quick_iter_5000.caffemodel", 0.7491),
    "cifar10_full_h5": ("cifar10_full.prototxt", "cifar10_full_iter_100000.caffemodel.h5", 0.8218),
}


@pytest.mark.parametrize("name", CIFAR)
def test_cifar10(capsys: pytest.CaptureFixture[str], shared: Path, tmp_path: Path, name: str) -> None:
    """2,000 of the 10,000 pictures: three standard errors about what the author found on all of them."""
    data = np.load(shared / "models" / "data" / "cifar10_part.npz")
    pairs = zip(data["test_x"], data["test_y"], strict=True)
    lmdb = write_lmdb(tmp_path / "lmdb", (datum(planes, int(label)) for planes, label in pairs))
    np.save(tmp_path / "mean.npy", data["mean"])
    net, weights, stated = CIFAR[name]
    case, model = shared / "models" / name, tmp_path / "cifar.pt"
    outputs = ("-o", model, "--mean", tmp_path / "mean.npy")
    assert run(capsys, "convert", case / net, case / weights, *outputs)[0] == 0
    code, out, _ = run(capsys, "evaluate", model, lmdb, "--json")
    found = json.loads(out)["views"]["whole picture"]
    assert code == 0
    assert found["count"] == 2000
    assert abs(found["top1"] - stated) < 3 * np.sqrt(stated * (1 - stated) / 2000)


def test_predict_gives_the_same_classes(
    capsys: pytest.CaptureFixture[str], shared: Path, mnist: Path, tmp_path: Path
) -> None:
    case, table = shared / "models" / "lenet_v2", tmp_path / "digits.csv"
    settings = ("-o", tmp_path / "lenet.pt", "--colour", "gray", "--scale", "0.00390625")
    run(capsys, "convert", case / "lenet.prototxt", case / "lenet_iter_10000.caffemodel", *settings)
    assert run(capsys, "predict", tmp_path / "lenet.pt", mnist, "-o", table)[0] == 0
    rows = [line.split(",") for line in table.read_text().splitlines()]
    assert rows[0][:4] == ["name", "label", "best", "score_0"]
    assert sum(row[1] == row[2] for row in rows[1:]) == 9914

"""`evaluate` over every kind of data set, and the page that it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffeport.artefacts import write
from caffeport.artefacts.recipe import Recipe
from caffeport.cli import main
from caffeport.port import open_port
from caffeport.predict.tables import read_table
from caffeport.transform import Crop, Preprocessing, Resize

from .databases import datum, score, write_lmdb

TINY = Path(__file__).parents[2] / "golden" / "formats" / "v1-legacy-blobs"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.pt"
    prep = Preprocessing(resize=Resize(41, 41), mean_values=(104, 117, 123), crop=Crop(35, 35))
    write(replace(open_port(TINY / "net.prototxt", TINY / "net.caffemodel"), recipe=Recipe(prep)), path)
    return path


@pytest.fixture(scope="session")
def lamem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures as LaMem lays them out, with a table and the databases that MemNet was trained from."""
    root = tmp_path_factory.mktemp("lamem")
    (root / "images").mkdir()
    (root / "splits").mkdir()
    rng = np.random.default_rng(4)
    pictures = [rng.integers(0, 256, (50, 61, 3), np.uint8) for _ in range(12)]
    names = [f"{number:08}.png" for number in range(12)]
    scores = [round(float(value), 4) for value in rng.uniform(0.3, 1, 12)]
    for name, picture in zip(names, pictures, strict=True):
        cv2.imwrite(str(root / "images" / name), picture)
    lines = [f"{name} {value}" for name, value in zip(names, scores, strict=True)]
    (root / "splits" / "test_1.txt").write_text("\n".join(lines))
    (root / "list.txt").write_text("\n".join(f"images/{line}" for line in lines))
    rows = [f"{name},{value}" for name, value in zip(names, scores, strict=True)]
    (root / "table.csv").write_text("\n".join(["file,memorability", *rows]))
    write_lmdb(root / "pictures", (datum(picture.transpose(2, 0, 1), 0) for picture in pictures))
    write_lmdb(root / "scores", (score(value) for value in scores))
    return root


SETS = {
    "lamem": ("", "--split", "test_1"),
    "list": ("list.txt",),
    "table": ("table.csv", "--picture", "file", "--label", "memorability", "--root", "images"),
    "two databases": ("pictures", "--truth", "scores"),
}


@pytest.mark.parametrize("name", SETS)
def test_every_data_set_gives_the_same_numbers(
    capsys: pytest.CaptureFixture[str], model: Path, lamem: Path, name: str
) -> None:
    first, *rest = SETS[name]
    given = [lamem / word if word in ("images", "scores") else word for word in rest]
    code, out, err = run(capsys, "evaluate", model, lamem / first, *given, "--json")
    views = json.loads(out)["views"]
    assert (code, err) == (0, "")
    assert list(views) == ["single crop", "ten crops"]
    wanted = json.loads(run(capsys, "evaluate", model, lamem, "--split", "test_1", "--json")[1])["views"]
    for view, numbers in views.items():
        for key in ("count", "rho", "pearson", "mse", "true_mean", "ks"):
            assert numbers[key] == pytest.approx(wanted[view][key], rel=1e-5), key


def test_the_views_are_those_of_predict(
    capsys: pytest.CaptureFixture[str], model: Path, lamem: Path, tmp_path: Path
) -> None:
    data = (lamem, "--split", "test_1")
    both = json.loads(run(capsys, "evaluate", model, *data, "--json", "--predictions", tmp_path / "ten.csv")[1])[
        "views"
    ]
    one = json.loads(run(capsys, "evaluate", model, *data, "--json", "--crops", 1)[1])["views"]
    assert one["single crop"]["rho"] == pytest.approx(both["single crop"]["rho"])
    table = json.loads(run(capsys, "evaluate", tmp_path / "ten.csv", *data, "--json")[1])["views"]
    assert table["table"]["rho"] == pytest.approx(both["ten crops"]["rho"])
    assert len(read_table(tmp_path / "ten.csv")) == 12


class Page(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for key, value in attrs if key in ("src", "srcset", "href")]


def test_the_page_needs_nothing_beside_it(
    capsys: pytest.CaptureFixture[str], model: Path, lamem: Path, tmp_path: Path
) -> None:
    code, out, err = run(capsys, "evaluate", model, lamem, "--split", "test_1", "-o", tmp_path / "report")
    assert code == 0
    assert "Spearman's rho" in out
    assert "evaluation.html and 9 files beside it" in err
    page = (tmp_path / "report" / "evaluation.html").read_text()
    seen = Page()
    seen.feed(page)
    assert len(seen.loaded) == 2 * 4  # each plot for light and for dark readers
    assert all(source.startswith("data:image/svg+xml;base64,") for source in seen.loaded)
    assert "script" not in seen.tags
    assert "squash to 41 x 41" in page
    for name in ("distributions", "calibration", "scatter-single-crop", "scatter-ten-crops"):
        assert (tmp_path / "report" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / "report" / f"{name}.svg").read_bytes()
    numbers = json.loads((tmp_path / "report" / "evaluation.json").read_text())
    assert set(numbers["views"]) == {"single crop", "ten crops"}


def test_names_in_the_page_are_text(tmp_path: Path) -> None:
    from caffeport.evaluate.metrics import agreement
    from caffeport.evaluate.report import page
    from caffeport.evaluate.run import Evaluation, View

    scores = np.linspace(0, 1, 9)
    view = View("single crop", scores, agreement(scores, scores, resamples=0))
    evil = "<script>alert(1)</script>"
    found = Evaluation(evil, evil, ("a",) * 9, scores, (view,), ((evil, evil),))
    assert "<script" not in page(found)


def test_broken_and_unlabelled_pictures(
    capsys: pytest.CaptureFixture[str], model: Path, lamem: Path, tmp_path: Path
) -> None:
    for name in ("00000000.png", "00000001.png", "00000002.png"):
        (tmp_path / name).write_bytes((lamem / "images" / name).read_bytes())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "list.txt").write_text("00000000.png 0.5\nbad.png 0.6\n00000001.png 0.7\n00000002.png\n")
    code, out, err = run(capsys, "evaluate", model, tmp_path / "list.txt", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["unlabelled"] == 1
    assert [one["name"] for one in found["broken"]] == ["bad.png"]
    assert "broken: bad.png: " in err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a.png 0.5\n", "missing"), ("00000000.png\n", "no picture with a label"), ("00000000.png much\n", "is 'much'")],
)
def test_data_that_cannot_be_compared(
    capsys: pytest.CaptureFixture[str], model: Path, lamem: Path, tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "00000000.png").write_bytes((lamem / "images" / "00000000.png").read_bytes())
    (tmp_path / "list.txt").write_text(text)
    code, _, err = run(capsys, "evaluate", model, tmp_path / "list.txt")
    assert code == 2
    assert sentence in err


def test_pack_then_evaluate(capsys: pytest.CaptureFixture[str], model: Path, lamem: Path, tmp_path: Path) -> None:
    data = (lamem, "--split", "test_1")
    code, out, _ = run(capsys, "pack", lamem, tmp_path / "pack", "--split", "test_1", "--model", model)
    assert (code, out) == (0, f"{tmp_path / 'pack'}: 12 pictures of 41 x 41 x 3\n")
    found = json.loads(run(capsys, "evaluate", model, tmp_path / "pack", "--json")[1])["views"]
    assert found == json.loads(run(capsys, "evaluate", model, *data, "--json")[1])["views"]
    code, _, err = run(capsys, "pack", lamem, tmp_path / "other", "--split", "test_1")
    assert code == 2
    assert "give --profile, --model or --resize" in err
    code, out, _ = run(capsys, "pack", lamem, tmp_path / "memnet", "--split", "test_1", "--profile", "memnet")
    assert (code, out) == (0, f"{tmp_path / 'memnet'}: 12 pictures of 256 x 256 x 3\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--predictions", "{}/none/p.csv"), "there is no folder '{}/none'"),
        (("--predictions", "{}/p.xls"), "no table has the suffix '.xls'"),
        (("-o", "{}/file/page"), "cannot be made: '{}/file' is a file"),
    ],
)
def test_what_cannot_be_written_is_known_before_the_work(
    capsys: pytest.CaptureFixture[str],
    model: Path,
    lamem: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    (tmp_path / "file").touch()
    code, out, err = run(
        capsys, "evaluate", model, lamem, "--split", "test_1", *(one.format(tmp_path) for one in arguments)
    )
    assert (code, out) == (2, "")
    assert sentence.format(tmp_path) in err


def test_pictures_without_labels_are_not_predicted(
    capsys: pytest.CaptureFixture[str], model: Path, lamem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caffeport.predict.predictor.Predictor.predict", None)
    code, _, err = run(capsys, "evaluate", model, lamem / "images")
    assert code == 2
    assert "gives no picture with a label (12 without)" in err

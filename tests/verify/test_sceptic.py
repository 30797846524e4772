"""A sceptic's attacks: recordings, files and reports that must not make `verify` say that a port agrees."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from caffeport.cli import main
from caffeport.conversion import convert
from caffeport.errors import BadCase, UnreadableFile, WeightsMismatch
from caffeport.verify.artefact import verify_artefact
from caffeport.verify.case import open_case
from caffeport.verify.compare import FORWARD, NOISE_MOST, compare
from caffeport.verify.report import describe_case, make_report
from caffeport.verify.report.html import render_html
from caffeport.verify.report.markdown import render_markdown
from caffeport.verify.run import Result, verify

Change = Callable[[dict[str, Any]], object]


def copied(source: Path, folder: Path, change: Change | None = None, **meta: object) -> Path:
    """A copy of a case with other arrays and another description."""
    shutil.copytree(source, folder)
    if change is not None:
        with np.load(folder / "golden.npz") as data:
            arrays = {name: data[name] for name in data.files}
        change(arrays)
        np.savez(folder / "golden.npz", **arrays)
    described = json.loads((folder / "meta.json").read_text()) | meta
    (folder / "meta.json").write_text(json.dumps({k: v for k, v in described.items() if v is not ...}))
    return folder


def code_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


# Nothing compared is no agreement


def test_a_case_that_cannot_run_anywhere_does_not_agree(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, report = golden / "fuzz" / "train-005000", tmp_path / "report.json"
    page = tmp_path / "report.html"
    assert code_of("verify", case, "--on", "onnx", "--report", report, "--report", page) == 1
    out = capsys.readouterr().out
    assert "was not compared with anything" in out
    assert "a training graph has no ONNX form" in out
    said = json.loads(report.read_text())
    assert not said["passed"]
    assert not said["cases"][0]["results"][0]["passed"]
    assert "training graph has no ONNX form" in said["cases"][0]["results"][0]["skipped"]
    assert "was not run: " in page.read_text()
    assert "training graph has no ONNX form" in page.read_text()


def test_a_report_of_nothing_does_not_pass() -> None:
    assert not make_report([])["passed"]
    assert not Result("case", "module").agrees
    assert not Result("case", "onnx", skipped="no form").agrees


# Recordings


@pytest.mark.parametrize(
    ("stats", "passes"), [((0, 1, -np.inf, np.inf), False), ((np.nan,) * 4, False), ((0, 0, 0, 0), False)]
)
def test_statistics_that_would_allow_anything(stats: Any, passes: bool, golden: Path, tmp_path: Path) -> None:
    def change(arrays: dict[str, Any]) -> None:
        whole = arrays.pop("top/1/0")
        arrays["top/1/0/sample"] = whole.ravel()[np.linspace(0, whole.size - 1, 256).astype(int)] * 2
        arrays["top/1/0/stats"] = np.array(stats, np.float64)

    case = copied(golden / "formats" / "v2", tmp_path / "case", change)
    assert verify(open_case(case), ("module",))[0].passed == passes


def test_one_sampled_top_does_not_silence_the_layers_alone(golden: Path, tmp_path: Path) -> None:
    def change(arrays: dict[str, Any]) -> None:
        whole = arrays.pop("top/1/0").astype(np.float64)
        arrays["top/1/0/sample"] = whole.ravel()[np.linspace(0, whole.size - 1, 256).astype(int)]
        arrays["top/1/0/stats"] = np.array([whole.mean(), whole.std(), whole.min(), whole.max()])

    case = open_case(copied(golden / "formats" / "v2", tmp_path / "case", change))
    (result,) = verify(case, ("module",))
    assert result.agrees
    alone = {one.layer for one in result.comparisons if one.mode == "alone"}
    layers = {node.name for node in case.graph.computing}
    assert layers - alone == {"conv1", "relu1"}
    assert any("2 of" in note and "not compared alone" in note for note in result.notes)
    assert any("only 256 values" in note for note in result.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.clear(), "has no top/0/0"),
        (lambda a: a.pop("dparam/1/0"), "has no dparam/1/0, the gradient of blob 0"),
        (lambda a: a.update({"dparm/1/0": a.pop("dparam/1/0")}), "has dparm/1/0, which the net does not have"),
        (lambda a: a.update({"after/1/7": a["dparam/1/0"]}), "has after/1/7, which the net does not have"),
        (lambda a: a.update({"top/1/0/sample": np.zeros(1)}), "top/1/0/sample is 1, the net wants 256"),
        (lambda a: a.update({"top/1/0": np.zeros((1 << 12, 1 << 8))}), "top/1/0 is 4096x256, the net wants"),
    ],
)
def test_arrays_missing_misnamed_or_far_too_large(change: Change, words: str, golden: Path, tmp_path: Path) -> None:
    case = copied(golden / "layers" / "convolution" / "group", tmp_path / "case", change)
    with pytest.raises(BadCase, match=words):
        open_case(case)


def test_a_recording_of_zeros_fails_and_a_port_of_zeros_is_told(golden: Path, tmp_path: Path) -> None:
    def change(arrays: dict[str, Any]) -> None:
        arrays.update({name: np.zeros_like(array) for name, array in arrays.items() if name.startswith("top/1/")})

    case = open_case(copied(golden / "layers" / "convolution" / "group", tmp_path / "case", change))
    for result in verify(case):
        assert not result.passed
        assert {one.allowed for one in result.comparisons if not one.gradient} == {0.0}
    (result,) = verify(open_case(golden / "layers" / "accuracy" / "per-class"), ("module",))
    assert any("hold nothing but zeros" in note for note in result.notes)


def test_numbers_that_are_none_on_both_sides_are_counted(golden: Path) -> None:
    (result,) = verify(open_case(golden / "layers" / "pooling" / "ave-empty-window"), ("module",))
    assert any("24 values are NaN or infinite on both sides: 'out'" in note for note in result.notes)


def test_gradients_that_are_not_compared_are_told(golden: Path, tmp_path: Path) -> None:
    source = golden / "layers" / "convolution" / "group"
    module, onnx_ = verify(open_case(source), ("module", "onnx"))
    assert not any("gradients" in note for note in module.notes)
    assert any("gradients were not compared" in note for note in onnx_.notes)
    silent = open_case(copied(source, tmp_path / "silent", backward=False))
    for result in verify(silent, ("module",)):
        assert any("meta.json does not say that it did" in note for note in result.notes)


def test_statistics_that_only_the_port_changes_fail(golden: Path, tmp_path: Path) -> None:
    def change(arrays: dict[str, Any]) -> None:
        for name in [name for name in arrays if name.startswith("after/")]:
            del arrays[name]

    source = golden / "layers" / "batch_norm" / "train-phase"
    case = open_case(copied(source, tmp_path / "case", change))
    (result,) = verify(case, ("module",))
    assert {one.what for one in result.comparisons if not one.passed} >= {"blob 0 after the pass"}


def test_noise_does_not_excuse_anything() -> None:
    want = np.ones(4)
    one = compare(want * 2, want, layer="x", what="top 'x'", mode="chain", noise=5.0)
    assert not one.passed
    assert one.allowed == pytest.approx(FORWARD)
    assert compare(want, want, layer="x", what="x", mode="chain", noise=NOISE_MOST / 10).allowed == NOISE_MOST
    assert not compare(want, want * 0, layer="x", what="top 'x'", mode="chain", noise=5.0).passed


def test_rows_in_another_order_are_no_noise(golden: Path) -> None:
    (result,) = verify(open_case(golden / "ssd" / "ssd" / "tiny"), ("module",))
    rows = [one for one in result.comparisons if one.layer == "detection_out" and one.mode == "chain"]
    assert [one.allowed <= 1e-4 * one.scale for one in rows] == [True]


# Files that are shipped


@pytest.fixture(scope="module")
def shipped(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, case = tmp_path_factory.mktemp("shipped"), golden / "formats" / "v2"
    convert(case / "net.caffemodel", [folder / f"m{s}" for s in (".py", ".onnx", ".pt")], case / "net.prototxt")
    return folder


def edited(shipped: Path, folder: Path, change: Callable[[str], str]) -> Path:
    path = folder / "edited.py"
    before = (shipped / "m.py").read_text()
    path.write_text(change(before))
    assert path.read_text() != before
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return fc8_euclidean", "return fc8_euclidean * 2", "the model returns something else than its layer gives"),
        ("return fc8_euclidean", "return {}", "the model does not return it"),
        ("return fc8_euclidean", "return None", "the model does not return it"),
        ("self.relu1(conv1)", "conv1.relu()", "the layer never ran"),
    ],
)
def test_source_that_was_edited(old: str, new: str, words: str, shipped: Path, golden: Path, tmp_path: Path) -> None:
    path = edited(shipped, tmp_path, lambda text: text.replace(old, new))
    result = verify_artefact(path, open_case(golden / "formats" / "v2"))
    assert not result.agrees
    assert [one.problem for one in result.comparisons if not one.passed] == [words]
    assert any("weights of the case: none lie beside the source" in note for note in result.notes)


@pytest.mark.parametrize("line", ["import sys; sys.exit(0)", "raise TypeError('no')", "{}['no']", "1 / 0"])
def test_source_that_stops_while_it_is_imported(line: str, shipped: Path, golden: Path, tmp_path: Path) -> None:
    path = edited(shipped, tmp_path, lambda text: f"{text}\n{line}\n")
    with pytest.raises(UnreadableFile, match="cannot be imported"):
        verify_artefact(path, open_case(golden / "formats" / "v2"))
    assert code_of("verify", path, "--golden", golden / "formats" / "v2") == 2


def renamed(model: onnx.ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for value in model.graph.output:
        value.name = names.get(value.name, value.name)


def test_renamed_blobs_are_told(shipped: Path, golden: Path, tmp_path: Path) -> None:
    model = onnx.load(shipped / "m.onnx")
    renamed(model, {"conv2": "other", "fc6": "one more"})
    onnx.save(model, tmp_path / "renamed.onnx")
    case = open_case(golden / "formats" / "v2")
    result = verify_artefact(tmp_path / "renamed.onnx", case)
    told = [note for note in result.notes if "no blob of their own" in note]
    assert told == ["2 of 11 layers of Caffe's have no blob of their own in renamed.onnx: 'relu2', 'drop6'"]
    assert any("no layer was compared alone" in note for note in result.notes)
    report = make_report([describe_case(case, [result])])
    for text in (render_html(report), render_markdown(report)):
        assert "no blob of their own in renamed" in text
    renamed(model, {"fc8-euclidean": "y"})
    onnx.save(model, tmp_path / "outputs.onnx")
    with pytest.raises(BadCase, match="has no output 'fc8-euclidean'"):
        verify_artefact(tmp_path / "outputs.onnx", case)


def test_an_output_that_the_file_does_not_hand_over(shipped: Path, golden: Path, tmp_path: Path) -> None:
    model = onnx.load(shipped / "m.onnx")
    model.graph.output[0].name = "fc7"
    onnx.save(model, tmp_path / "cut.onnx")
    with pytest.raises(BadCase, match="has no output 'fc8-euclidean'"):
        verify_artefact(tmp_path / "cut.onnx", open_case(golden / "formats" / "v2"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8, torch.complex64])
def test_tensors_of_another_type(dtype: torch.dtype, golden: Path, tmp_path: Path) -> None:
    case = open_case(golden / "formats" / "v2")
    state = {key: torch.tensor(array).to(dtype) for key, array in case.state.items()}
    torch.save(state, tmp_path / "typed.pt")
    with pytest.raises(WeightsMismatch, match="float32, float64 and float16 are compared"):
        verify_artefact(tmp_path / "typed.pt", case)


# Options that would be passed over


@pytest.mark.parametrize("options", [("--on", "onnx"), ("--bisect", "piece"), ("--crop", "227")])
def test_options_without_effect_are_refused(
    options: tuple[str, ...], golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = golden / "layers" / "lrn" / "k2"
    assert code_of("verify", case, "--golden", case, *options) == 2
    assert options[0] in capsys.readouterr().err or options[0] == "--crop"


def test_a_broken_case_among_others_is_not_passed_over(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied(golden / "layers" / "lrn" / "k2", tmp_path / "right")
    for name, text in (("torn", '{"layers'), ("list", '["layers"]')):
        broken = copied(golden / "layers" / "lrn" / "k2", tmp_path / name)
        (broken / "meta.json").write_text(text)
    (copied(golden / "layers" / "lrn" / "k2", tmp_path / "netless") / "net.prototxt").unlink()
    assert code_of("verify", tmp_path) == 2
    assert capsys.readouterr().out.count("REFUSED") == 3

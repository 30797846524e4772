"""The command line: what it prints, its exit codes, and one sentence for every kind of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from caffeport.cli import main

FORMATS = Path(__file__).parents[2] / "golden" / "formats"
NET, WEIGHTS = FORMATS / "v1-legacy-blobs" / "net.prototxt", FORMATS / "v1-legacy-blobs" / "net.caffemodel"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_convert_writes_every_format(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outputs = [tmp_path / f"tiny{suffix}" for suffix in (".pt", ".py", ".safetensors", ".onnx", ".pt2")]
    code, out, _ = run(capsys, "convert", NET, WEIGHTS, *(part for path in outputs for part in ("-o", path)))
    assert code == 0
    assert all(path.stat().st_size for path in outputs)
    assert "tiny-memnet-v1: 11 layers, 4,211 parameters" in out


def test_convert_takes_weights_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lone = FORMATS / "v1-training-net" / "net.caffemodel"
    code, out, _ = run(capsys, "convert", lone, "-o", tmp_path / "tiny.py")
    assert code == 0
    assert "4,211 parameters" in out
    assert "Input 'data': N x 3 x 35 x 35" in (tmp_path / "tiny.py").read_text()


def test_input_shape_is_the_users(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("convert", NET, WEIGHTS, "-o", tmp_path / "tiny.py", "--input-shape")
    code, _, _ = run(capsys, *arguments, "data=1x3x36x36")
    assert code == 0
    assert "Input 'data': N x 3 x 36 x 36" in (tmp_path / "tiny.py").read_text()
    code, _, err = run(capsys, *arguments, "data=big")
    assert (code, err) == (2, "--input-shape: is 'data=big'; BLOB=NxCxHxW, such as data=1x3x227x227\n")
    code, _, err = run(capsys, *arguments, "dota=1x3x36x36")
    assert code == 2
    assert "has no input 'dota'; its inputs: 'data'" in err


def test_verify_exit_codes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "verify", FORMATS / "v2", "--json", tmp_path / "found.json")
    assert code == 0
    assert "onnx: 1 of 1 cases agree with Caffe" in out
    assert json.loads((tmp_path / "found.json").read_text())["passed"] is True
    code, _, err = run(capsys, "verify", tmp_path)
    assert code == 2
    assert "holds no golden case" in err
    code, _, err = run(capsys, "verify", FORMATS / "v2", "--on", "gpu")
    assert code == 2
    assert "any of module, source, onnx" in err


def test_inspect_prints_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inspect", WEIGHTS)
    assert code == 0
    assert "V1" in out
    assert "4,211 parameters" in out
    code, out, _ = run(capsys, "inspect", WEIGHTS, NET, "--json")
    weights, net = json.loads(out)
    assert (weights["era"], weights["parameters"], net["kind"]) == ("V1", 4211, "net")


@pytest.mark.parametrize("era", ["v0-legacy-blobs", "v1-legacy-blobs", "v1-training-net", "v2"])
def test_upgrade_keeps_net_and_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path, era: str) -> None:
    from caffeport.port import open_port

    assert run(capsys, "upgrade", FORMATS / era / "net.prototxt", tmp_path / "net.prototxt")[0] == 0
    assert run(capsys, "upgrade", FORMATS / era / "net.caffemodel", tmp_path / "net.caffemodel")[0] == 0
    old = open_port(FORMATS / era / "net.prototxt", FORMATS / era / "net.caffemodel").arrays()
    new = open_port(tmp_path / "net.prototxt", tmp_path / "net.caffemodel").arrays()
    assert old.keys() == new.keys()
    assert all((old[key] == new[key]).all() for key in old)
    assert "layers {" not in (tmp_path / "net.prototxt").read_text()


def test_layers_tells_what_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "layers", "LRN")
    assert code == 0
    assert "lrn_param.alpha" in out
    code, _, err = run(capsys, "layers", "Foo")
    assert (code, err.startswith("layers: no layer of type 'Foo' is known")) == (2, True)


def test_coverage_counts_nets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "good.prototxt").write_text(NET.read_text())
    (tmp_path / "bad.prototxt").write_text(
        'input: "x" input_shape { dim: 2 } layer { name: "y" type: "Nonsense" bottom: "x" top: "y" }'
    )
    code, out, _ = run(capsys, "inspect", "--coverage", tmp_path)
    assert code == 0
    assert "1 of 2 nets convert (50.0 %)" in out
    assert "layer type Nonsense" in out


# Bad input: one sentence, exit code 2, nothing written.

GOOD = NET.read_text()
BAD_NETS = {
    "empty": ("", "is empty"),
    "not a prototxt": ("%PDF-1.4 something else", "expected"),
    "cut short": (GOOD[: len(GOOD) // 2], "net.prototxt:"),
    "unknown layer": (GOOD.replace("RELU", "99"), "layer 'relu1'"),
    "unknown field": (GOOD.replace("group: 2", "grp: 2"), "grp is 2"),
    "even LRN": (GOOD.replace("local_size: 5", "local_size: 4"), "local_size is 4; Caffe allows odd sizes only"),
    "unknown bottom": (
        GOOD.replace('bottom: "pool1"', 'bottom: "pool9"'),
        "bottom 'pool9' is no top of a layer before",
    ),
    "number": (GOOD.replace("num_output: 8", "num_output: -8"), "num_output is -8"),
    "no weights for a layer": (GOOD.replace('name: "fc6"', 'name: "fc66"'), "has no weights in"),
    "another shape": (GOOD.replace("num_output: 16", "num_output: 17"), "the net wants 17x"),
    "group forgotten": (GOOD.replace("group: 2", "group: 1"), "these weights fit group: 2"),
}


@pytest.mark.parametrize("kind", BAD_NETS)
def test_bad_nets_are_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str) -> None:
    text, message = BAD_NETS[kind]
    net = tmp_path / "net.prototxt"
    net.write_text(text)
    code, out, err = run(capsys, "convert", net, WEIGHTS, "-o", tmp_path / "tiny.pt")
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["net.prototxt"]


def test_all_problems_come_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(GOOD.replace("local_size: 5", "local_size: 4").replace("group: 2", "grp: 2"))
    _, _, err = run(capsys, "convert", net, WEIGHTS, "-o", tmp_path / "tiny.pt")
    assert len(err.splitlines()) == 1 + GOOD.count("local_size: 5")


@pytest.mark.parametrize("verb", ["inspect", "convert", "upgrade"])
@pytest.mark.parametrize("what", ["directory", "missing", "empty", "text for weights", "noise", "cut"])
def test_bad_files_are_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: str, what: str) -> None:
    file = tmp_path / "bad.caffemodel"
    if what == "directory":
        file.mkdir()
    elif what != "missing":
        data = WEIGHTS.read_bytes()
        content = {"empty": b"", "text for weights": b"layers {", "noise": bytes(range(255, 5, -1)), "cut": data[:-7]}
        file.write_bytes(content[what])
    arguments: dict[str, tuple[object, ...]] = {
        "inspect": (file,),
        "convert": (NET, file, "-o", tmp_path / "x.pt"),
        "upgrade": (file, tmp_path / "x"),
    }
    code, _, err = run(capsys, verb, *arguments[verb])
    assert code == 2
    assert err.startswith(str(file))
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "x.pt").exists()
    assert not (tmp_path / "x").exists()


def test_a_file_cut_anywhere_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Whatever is left of the file: it converts to the whole model or is refused, never anything between."""
    data, cut = WEIGHTS.read_bytes(), tmp_path / "cut.caffemodel"
    for length in [*range(0, 600, 7), *range(600, len(data), 997)]:
        cut.write_bytes(data[:length])
        code, _, err = run(capsys, "convert", NET, cut, "-o", tmp_path / "x.safetensors")
        assert code == 2, length
        assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["cut.caffemodel"]


def test_an_unwritable_target_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "convert", NET, WEIGHTS, "-o", tmp_path / "nowhere" / "x.pt")
    assert code == 2
    assert "cannot be written" in err


def test_a_closed_pipe_is_no_error() -> None:
    command = f'"{sys.executable}" -m caffeport layers | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**os.environ})
    assert done.stderr == ""

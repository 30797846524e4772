"""Every file that a port becomes gives Caffe's numbers, in the hands of the library that it is meant for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import safetensors.numpy
import torch

import caffeport
from caffeport.artefacts import FORMATS, write
from caffeport.artefacts import onnx as onnx_file
from caffeport.emit.onnx import emit
from caffeport.port import Port, open_port

CASE = Path(__file__).parents[2] / "golden" / "formats" / "v1-legacy-blobs"


@pytest.fixture(scope="module")
def port() -> Port:
    return open_port(CASE / "net.prototxt", CASE / "net.caffemodel")


@pytest.fixture(scope="module")
def recorded() -> tuple[np.ndarray, np.ndarray]:
    """Input and the output that Caffe computed for it."""
    with np.load(CASE / "golden.npz") as data:
        last = max(int(name.split("/")[1]) for name in data.files if name.startswith("top/"))
        return data["in/data"], data[f"top/{last}/0"]


@pytest.fixture(scope="module")
def files(port: Port, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    made = {suffix: folder / f"tiny{suffix}" for suffix in FORMATS}
    for path in made.values():
        write(port, path)
    return made


def agree(got: np.ndarray, want: np.ndarray) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * float(np.abs(want).max()))


def test_pt_is_a_module(files: dict[str, Path], recorded: tuple[np.ndarray, np.ndarray]) -> None:
    model = caffeport.load(files[".pt"])
    assert not model.training
    with torch.no_grad():
        agree(model(torch.from_numpy(recorded[0])).numpy(), recorded[1])


def test_pt_holds_tensors_net_and_provenance(files: dict[str, Path], port: Port) -> None:
    content = torch.load(files[".pt"], weights_only=True)
    assert content["state_dict"].keys() == port.arrays().keys()
    assert "layer {" in content["net"]
    by_name = {source["file"]: source for source in content["provenance"]["sources"]}
    digest = caffeport.open_weights(CASE / "net.caffemodel").sha256()
    assert by_name["net.caffemodel"]["sha256"] == digest
    assert by_name["net.caffemodel"]["bytes"] == (CASE / "net.caffemodel").stat().st_size


def test_safetensors_is_what_the_library_reads(files: dict[str, Path], port: Port) -> None:
    read, own = safetensors.numpy.load_file(files[".safetensors"]), port.arrays()
    assert read.keys() == own.keys()
    for key, array in own.items():
        np.testing.assert_array_equal(read[key], array)
    with safetensors.safe_open(files[".safetensors"], "np") as opened:
        assert json.loads(opened.metadata()["caffeport"])["sources"][1]["file"] == "net.caffemodel"


#: Runs with caffeport out of reach: the emitted file must stand alone.
ALONE = """
import sys
sys.modules["caffeport"] = None
import numpy as np, torch, tiny
data = np.load(sys.argv[1])
for weights in sys.argv[2:4]:
    model = tiny.load(weights)
    np.save(weights + ".npy", model(torch.from_numpy(data["in/data"])).detach().numpy())
model.train()
before = model.conv1.weight.detach().clone()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
losses = []
for _ in range(5):
    optimizer.zero_grad()
    torch.manual_seed(0)
    loss = (model(torch.from_numpy(data["in/data"] / 100)) - 1).square().mean()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0], losses
assert not torch.equal(before, model.conv1.weight)
"""


def test_source_runs_and_trains_without_caffeport(
    files: dict[str, Path], port: Port, recorded: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    plain = tmp_path / "plain.pt"
    torch.save({key: torch.from_numpy(array) for key, array in port.arrays().items()}, plain)
    weights = [str(files[".safetensors"]), str(plain)]
    command = [sys.executable, "-c", ALONE, str(CASE / "golden.npz"), *weights]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(files[".py"].parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path in weights:
        agree(np.load(path + ".npy"), recorded[1])


def test_source_imports_torch_only(files: dict[str, Path]) -> None:
    lines = files[".py"].read_text().splitlines()
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= {"__future__", "json", "math", "mmap", "pathlib", "torch"}


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_pt2_has_a_free_batch(files: dict[str, Path], port: Port, batch: int) -> None:
    exported = torch.export.load(files[".pt2"]).module()
    x = torch.randn(batch, *port.graph.inputs[0].shape[1:])
    with torch.no_grad():
        torch.testing.assert_close(exported(x), caffeport.load(files[".pt"])(x))


def test_onnx_gives_caffes_numbers_under_caffes_names(
    files: dict[str, Path], recorded: tuple[np.ndarray, np.ndarray]
) -> None:
    model = onnx.load(files[".onnx"])
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["data"]
    assert [value.name for value in model.graph.output] == ["fc8-euclidean"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert not any(attribute.name == "ceil_mode" for node in model.graph.node for attribute in node.attribute)
    assert {"conv1", "relu1", "pool1", "norm1"} <= {node.name for node in model.graph.node}
    session = onnxruntime.InferenceSession(files[".onnx"])
    agree(session.run(None, {"data": recorded[0]})[0], recorded[1])
    (once,) = session.run(None, {"data": recorded[0][:1]})
    agree(once, recorded[1][:1])


def test_onnx_past_the_limit_has_its_weights_beside_it(
    port: Port, tmp_path: Path, recorded: tuple[np.ndarray, np.ndarray]
) -> None:
    target, part = tmp_path / "big.onnx", tmp_path / "part.onnx"
    onnx_file.write_model(emit(port.graph, port.arrays()), port, part, target, most=1000)
    part.rename(target)
    assert (tmp_path / "big.onnx.data").stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.onnx", "big.onnx.data"]
    agree(onnxruntime.InferenceSession(target).run(None, {"data": recorded[0]})[0], recorded[1])


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    outputs = [tmp_path / "ok.pt", tmp_path / "wrong.h5"]
    with pytest.raises(caffeport.Refused, match=r"no format has the suffix '.h5'; there are .pt, .safetensors"):
        caffeport.convert(CASE / "net.caffemodel", outputs, net=CASE / "net.prototxt")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_writer_leaves_the_old_file(port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "tiny.pt"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        write(port, target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.pt"]


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch evil",)


def test_load_never_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": "caffeport", "state_dict": _Evil()}, "evil.pt")
    with pytest.raises(caffeport.UnreadableFile, match="no checkpoint that torch reads safely"):
        caffeport.load("evil.pt")
    assert not Path("evil").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not made by caffeport"),
        ({"version": 99}, "has format version 99; this caffeport reads version 1; update caffeport"),
        ({"net": None}, "lacks net"),
        ({"state_dict": {"conv1.weight": "text"}}, "lacks tensors"),
        ({"state_dict": {}}, "tensors and net disagree"),
        ({"net": "layer {"}, "tiny.pt:1"),
    ],
)
def test_broken_checkpoints_are_refused(
    files: dict[str, Path], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    content = torch.load(files[".pt"], weights_only=True)
    broken = tmp_path / "tiny.pt"
    torch.save({**content, **change}, broken)
    with pytest.raises(caffeport.CaffeportError, match=message):
        caffeport.load(broken)


def test_a_checkpoint_cut_short_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    data, cut = files[".pt"].read_bytes(), tmp_path / "cut.pt"
    for length in (0, 10, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(caffeport.UnreadableFile):
            caffeport.load(cut)

"""The file that is shipped is what is verified: every format, whole and damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffeport.caffe.net import read_net_message
from caffeport.caffe.weights import open_weights
from caffeport.caffe.write import write_binary
from caffeport.conversion import convert
from caffeport.errors import BadCase, CaffeportError, Refused, UnreadableFile, WeightsMismatch
from caffeport.verify.artefact import SUFFIXES, verify_artefact
from caffeport.verify.case import open_case


@pytest.fixture(scope="module")
def case_folder(golden: Path) -> Path:
    return golden / "formats" / "v2"


@pytest.fixture(scope="module")
def shipped(case_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    convert(case_folder / "net.caffemodel", [folder / f"model{s}" for s in SUFFIXES], case_folder / "net.prototxt")
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_convert_wrote_agrees(suffix: str, shipped: Path, case_folder: Path) -> None:
    case = open_case(case_folder)
    result = verify_artefact(shipped / f"model{suffix}", case)
    assert result.passed
    assert not result.skipped
    assert result.backend == f"model{suffix}"
    layers = {one.layer for one in result.comparisons if one.mode == "chain"}
    # The export to .pt2 drops what does nothing at test time.
    assert {node.name for node in case.graph.computing} - layers <= {"drop6"}
    assert "fc8-euclidean" in layers


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".py", ".onnx", ".pt2"])
def test_changed_weights_are_found(suffix: str, case_folder: Path, tmp_path: Path) -> None:
    """A converter that ships other weights than it verified in memory is caught, with the layer."""
    case = open_case(case_folder)
    damaged = tmp_path / "net.caffemodel"
    stored = open_weights(case_folder / "net.caffemodel")
    arrays: dict[str, list[Any]] = {name: [np.array(blob.numpy()) for blob in blobs] for name, blobs in stored.items()}
    arrays["conv2"][0][1, 1] *= 1.5
    write_binary(read_net_message(case_folder / "net.prototxt"), arrays, damaged)
    model = tmp_path / f"model{suffix}"
    outputs = [model, tmp_path / "model.safetensors"] if suffix == ".py" else [model]
    convert(damaged, outputs, case_folder / "net.prototxt")
    result = verify_artefact(model, case)
    assert not result.passed
    assert result.culprit == "conv2"


def test_a_plain_state_dict_is_verified(case_folder: Path, tmp_path: Path) -> None:
    case = open_case(case_folder)
    torch.save({key: torch.tensor(array) for key, array in case.state.items()}, tmp_path / "plain.pt")
    assert verify_artefact(tmp_path / "plain.pt", case).passed


@pytest.mark.parametrize("suffix", [".pt", ".onnx", ".py"])
def test_a_file_of_another_net_is_refused(suffix: str, shipped: Path, golden: Path) -> None:
    other = open_case(golden / "layers" / "relu" / "leaky")
    with pytest.raises((BadCase, WeightsMismatch), match="model"):
        verify_artefact(shipped / f"model{suffix}", other)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_no_such_file_is_refused(suffix: str, case_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"\x00\x01 nothing of the kind")
    with pytest.raises(UnreadableFile, match="broken"):
        verify_artefact(path, open_case(case_folder))


def test_other_suffixes_are_refused(case_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no artefact has the suffix"):
        verify_artefact(tmp_path / "model.tflite", open_case(case_folder))


def test_missing_file(case_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CaffeportError, match="is not a file"):
        verify_artefact(tmp_path / "model.onnx", open_case(case_folder))

"""Witnesses in the place of a golden case: what they confirm, what they get wrong, and what is the port's mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffeport.errors import Refused
from caffeport.port import open_port
from caffeport.verify.case import open_case
from caffeport.verify.evidence import describe_evidence, gather, picture_inputs
from caffeport.verify.report import make_report, render_json
from caffeport.verify.run import Result

from .mutating import reread

cv2 = pytest.importorskip("cv2", reason="OpenCV is the witness")


def by_name(golden: Path, case: str, witnesses: tuple[str, ...] = ("source", "onnx", "opencv")) -> dict[str, Result]:
    folder = golden / case
    weights = folder / "net.caffemodel"
    port = open_port(folder / "net.prototxt", weights if weights.exists() else None)
    return {result.backend: result for result in gather(port, open_case(folder).inputs, witnesses)}


@pytest.mark.parametrize("case", ["formats/v2", "formats/v1-legacy-blobs", "layers/convolution/group"])
def test_witnesses_agree(case: str, golden: Path) -> None:
    for result in by_name(golden, case).values():
        assert result.passed
        assert not result.skipped
        assert {one.mode for one in result.comparisons} == {"alone", "chain"}


@pytest.mark.parametrize(
    ("case", "cause"), [("layers/lrn/k2", "k is dropped"), ("layers/inner_product/transpose", "transpose")]
)
def test_known_mistakes_of_opencv_are_explained(case: str, cause: str, golden: Path) -> None:
    result = by_name(golden, case, ("opencv",))["opencv"]
    assert result.passed
    assert "OpenCV is wrong, not the port" in result.notes[0]
    assert cause in result.notes[0]
    assert "known" in result.notes[0]


def test_a_wrong_port_is_not_blamed_on_the_witness(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reread("ReLU", slope=0.5)(monkeypatch)
    result = by_name(golden, "formats/v2", ("opencv",))["opencv"]
    assert not result.passed
    assert result.culprit == "relu1"


def test_a_picture_is_fed_at_a_batch_of_one(golden: Path) -> None:
    folder = golden / "formats" / "v2"
    port = open_port(folder / "net.prototxt", folder / "net.caffemodel")
    single, inputs = picture_inputs(port, golden / "memnet-predict" / "image.png")
    assert inputs["data"].shape == (1, 3, 35, 35)
    assert inputs["data"].dtype == np.float32
    results = gather(single, inputs)
    assert all(result.passed for result in results)
    described = describe_evidence(single, results, golden / "memnet-predict" / "image.png")
    text = render_json(make_report([described], kind="evidence"))
    assert "witnesses" in text
    assert '"role": "picture"' in text


def test_a_net_without_a_picture_input_is_refused(golden: Path) -> None:
    port = open_port(golden / "layers" / "eltwise" / "sum" / "net.prototxt", None)
    with pytest.raises(Refused, match="a picture needs one input"):
        picture_inputs(port, golden / "memnet-predict" / "image.png")


def test_unknown_witness(golden: Path) -> None:
    with pytest.raises(Refused, match="witness"):
        by_name(golden, "formats/v2", ("tensorrt",))


def test_opencv_5_is_said_to_have_no_importer(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "__version__", "5.0.0")
    result = by_name(golden, "formats/v2", ("opencv",))["opencv"]
    assert "has no Caffe importer" in result.skipped

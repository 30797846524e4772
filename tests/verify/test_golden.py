"""The port beside real Caffe: every case of golden/, as module, as emitted source and in ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caffeport.layers import registry
from caffeport.verify.case import find_cases, open_case
from caffeport.verify.run import BACKENDS, verify

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = [str(folder.relative_to(GOLDEN)) for folder in find_cases(GOLDEN)]
#: Ten seconds to half a minute each; MemNet and SqueezeNet stand for the nets at full size in the quick run.
SLOW = {"nets/resnet50", "nets/resnet152", "nets/vgg16"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_agrees_with_caffe(name: str) -> None:
    for result in verify(open_case(GOLDEN / name), BACKENDS):
        failed = [str(one) for one in result.comparisons if not one.passed]
        assert not failed, f"{result.backend}: " + "\n".join([result.cause, *failed])
        compared = result.comparisons or (result.skipped and result.backend == "onnx")
        assert compared, f"{result.backend}: {result.skipped}"


def test_every_kind_of_case_is_there() -> None:
    assert {Path(name).parts[0] for name in CASES} >= {"layers", "ssd", "fuzz", "formats", "nets"}


#: Layers that no recording has, with the reason; what they compute is tested in tests/layers.
NOT_RECORDED = {
    "a fork whose Caffe was not at hand": {
        *("Axpy", "BN", "CReLU", "ConvolutionDepthwise", "CropCenter", "Interp", "PSROIPooling", "Proposal"),
        *("ROIPooling", "ReLU6", "Reorg", "ShuffleChannel", "Upsample", "Yolov3DetectionOutput"),
    },
    "brings data and computes nothing in a port": {
        *("AnnotatedData", "Data", "DenseImageData", "HDF5Data", "ImageData", "MemoryData", "WindowData"),
    },
    "computes nothing that comes back, or what the user's own class says": {"HDF5Output", "Python"},
}


def test_every_layer_has_a_case() -> None:
    recorded = {
        layer["type"]
        for name in CASES
        for layer in json.loads((GOLDEN / name / "meta.json").read_text())["layers"]
        if not layer["inserted"]
    }
    known = {name for name, cls in registry().items() if recorded & {cls.type, *cls.aliases}}
    excused = set().union(*NOT_RECORDED.values())
    assert set(registry()) - known == {name for name in excused if name in registry()}
    tests = "".join(path.read_text() for path in (Path(__file__).parents[1] / "layers").glob("test_*.py"))
    assert [name for name in excused if f'"{name}"' not in tests and name not in tests] == []

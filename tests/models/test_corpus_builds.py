"""Real nets of 81 repositories as graphs: how many build, and the reasons of those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffeport.coverage import Coverage, coverage

#: Why nets of the corpus do not build, by the beginning of the reason. Nothing else may stop one.
REASONS = {
    "layer type ": "layers of single projects, with no source at hand that many nets would follow",
    "Python: python_param names class": "Python layers of single projects; a user registers a class",
    "the net has no layers": "templates and transform descriptions without a layer",
    "test_interval is": "a solver with its net inside",
    "Convolution: convolution_param.num_output is cls": "a template with a placeholder",
    "Reshape: reshape_param.shape.dim is cls": "a template with a placeholder",
    "DetectionOutput: detection_output_param.num_classes is cls": "a template with a placeholder",
}

_SIZE = "fits one input size only, which the net does not state"
_SPLIT = "labels of a data layer cut by channels, which the net does not state"
#: Nets, by the beginning of their name, that do not build for a reason of their own.
NETS = {
    "1a953428cf": "a Reshape with sides for another input than the one stated",
    "7094cc0e9e": "a Reshape with sides for another input than the one stated",
    "1cb43ede1d": "OpenVINO's DetectionOutput for boxes in pixels",
    "41abdb8cda": "Concat over one axis of an embedding with one axis more; refused by Caffe too",
    "61d61d3e0f": "Concat over one axis of an embedding with one axis more; refused by Caffe too",
    "f826710815": "Concat over one axis of an embedding with one axis more; refused by Caffe too",
    "4d1e3f646f": "a training net whose data has one channel, which the net does not state",
    "4f0c77f4ea": "Intel's fused SSD",
    "6db1930cc4": "SSD with a prior box too few; refused by Caffe too",
    "760157487e": "an LSTM fed by data layers of unknown shape",
    "828585fe1a": _SIZE,
    "90bca416a6": _SIZE,
    "92cb30d295": _SIZE,
    "b45c7514c9": _SIZE,
    "d7075f3268": _SIZE,
    "9a8a18f6e6": _SIZE,
    "c6fdde4621": _SIZE,
    "ea91fec69e": _SIZE,
    "e6138cdc67": _SIZE,
    "9731528a86": _SPLIT,
    "9e9ba1c4ca": _SPLIT,
    "d685a78623": _SPLIT,
}


@pytest.fixture(scope="module")
def found(shared: Path) -> Coverage:
    return coverage(shared / "prototxts" / "nets.tar.gz")


@pytest.mark.slow
def test_at_least_85_in_a_hundred_build(found: Coverage) -> None:
    assert found.nets == 588
    assert (found.converted + found.told) / found.nets >= 0.85, found.reasons()


@pytest.mark.slow
def test_the_rest_have_reasons_that_are_known(found: Coverage) -> None:
    unknown = {
        net.split("/")[1]: reasons
        for net, reasons in found.refused.items()
        if not any(reason.startswith(tuple(REASONS)) for reason in reasons)
    }
    assert {net.split("-")[0] for net in unknown} == set(NETS), unknown

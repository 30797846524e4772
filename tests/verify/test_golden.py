"""The port beside real Caffe: every case of golden/, as module, as emitted source and in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffeport.verify.case import find_cases, open_case
from caffeport.verify.run import BACKENDS, verify

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = [str(folder.relative_to(GOLDEN)) for folder in find_cases(GOLDEN)]


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_caffe(name: str) -> None:
    for result in verify(open_case(GOLDEN / name), BACKENDS):
        failed = [str(one) for one in result.comparisons if not one.passed]
        assert not failed, f"{result.backend}: " + "\n".join([result.cause, *failed])
        compared = result.comparisons or (result.skipped and result.backend == "onnx")
        assert compared, f"{result.backend}: {result.skipped}"


def test_every_kind_of_case_is_there() -> None:
    assert {Path(name).parts[0] for name in CASES} >= {"layers", "ssd", "fuzz", "formats", "nets"}

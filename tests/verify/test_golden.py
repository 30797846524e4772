"""The port beside real Caffe: every case of golden/, as module, as emitted source and in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffeport.verify.case import find_cases, open_case
from caffeport.verify.run import BACKENDS, verify

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = [str(folder.relative_to(GOLDEN)) for folder in find_cases(GOLDEN)]

#: What does not agree, and why: by case, the comparisons that may fail.
EXCEPTIONS = {
    # Caffe's LRN reads its own top in the backward pass; BatchNorm, in place behind it, has overwritten that. The
    # recorded gradient is not the derivative of what Caffe computed (with the overwritten top it comes out to 2e-6).
    "fuzz/net-000146": {"data gradient of the blob"},
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_caffe(name: str) -> None:
    allowed = EXCEPTIONS.get(name, set())
    for result in verify(open_case(GOLDEN / name), BACKENDS):
        failed = {f"{one.layer} {one.what}": str(one) for one in result.comparisons if not one.passed}
        assert set(failed) == allowed, f"{result.backend}: " + "\n".join([result.cause, *failed.values()])
        compared = result.comparisons or (result.skipped and result.backend == "onnx")
        assert compared, f"{result.backend}: {result.skipped}"


def test_every_kind_of_case_is_there() -> None:
    assert {Path(name).parts[0] for name in CASES} >= {"layers", "ssd", "fuzz", "formats", "nets"}

"""Deliberate misreadings: each must fail against Caffe, and be named for what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from caffeport.errors import WeightsMismatch
from caffeport.layers.windows import Window
from caffeport.verify.case import open_case
from caffeport.verify.run import verify

from .mutating import Mutation, recall, reread, reweigh, without

LAYERS = Path(__file__).resolve().parents[2] / "golden" / "layers"


def square(window: Window) -> Window:
    return replace(window, pad=window.pad[:1] * len(window.pad))


@dataclass(frozen=True)
class Mutant:
    case: str
    mutate: Mutation
    cause: str


def ones(key: str, array: np.ndarray) -> np.ndarray:
    return np.ones_like(array) if key.endswith("factor") else array


def mirrored(key: str, array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[:, ::-1]) if array.ndim == 4 else array


def transposed(key: str, array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.reshape(array.shape[::-1]).T) if array.ndim == 2 else array


def unbiased(key: str, array: np.ndarray) -> np.ndarray:
    return np.zeros_like(array) if key.endswith("bias") else array


MUTANTS = {
    "pad_w := pad_h": Mutant(
        "convolution/rectangular",
        reread("Convolution", lambda c: replace(c, window=square(c.window))),
        "pad_w is taken to be pad_h",
    ),
    "floor for ceil": Mutant("pooling/max-ceil", reread("Pooling", ceil=False), "rounded down (floor)"),
    "LRN's k dropped": Mutant("lrn/k2", reread("LRN", k=1.0), "k is dropped"),
    "LRN's alpha not divided": Mutant(
        "lrn/strong", reread("LRN", lambda c: replace(c, alpha=c.alpha * c.size)), "alpha is not divided"
    ),
    "LRN's region misread": Mutant("lrn/within-channel-3", reread("LRN", within=False), "norm_region"),
    "coeff dropped": Mutant("eltwise/sum-coeff", reread("Eltwise", coeff=()), "coeff is dropped"),
    "factor ignored": Mutant("batch_norm/scale-factor", reweigh(ones), "factor (third blob) is ignored"),
    "group ignored": Mutant("convolution/group", reread("Convolution", group=1), "fit group: 2"),
    "BGR swapped": Mutant("convolution/alexnet-conv1", reweigh(mirrored), "BGR and RGB swapped"),
    "negative_slope dropped": Mutant("relu/leaky", reread("ReLU", slope=0.0), "negative_slope is dropped"),
    "weights transposed": Mutant("inner_product/basic", reweigh(transposed), "weights are transposed"),
    "divisor unclipped": Mutant(
        "pooling/ave-ceil",
        recall("Pooling", lambda given: given | {"divisor_override": 9}),
        "counted all of the window",
    ),
    "bias dropped": Mutant("scale/bias", reweigh(unbiased), "the bias is dropped"),
    "dilation dropped": Mutant(
        "convolution/dilation", recall("Convolution", without("dilation")), "dilation is dropped"
    ),
    "axis dropped": Mutant("softmax/axis2", recall("Softmax", lambda given: {"dim": 1}), "axis is taken to be 1"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_killed_and_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    assert all(result.passed for result in verify(open_case(LAYERS / mutant.case)))
    mutant.mutate(monkeypatch)
    for culprit, cause in verdicts(LAYERS / mutant.case):
        assert culprit == "out"
        assert mutant.cause in cause


def verdicts(folder: Path) -> list[tuple[str, str]]:
    """Culprit and cause on each back end that is wrong; those of the refusal where weights no longer fit."""
    try:
        results = verify(open_case(folder), ("module", "source"))
    except WeightsMismatch as refusal:
        return [("out", str(refusal))]
    assert not any(result.passed for result in results), "the mutant lives"
    return [(result.culprit, result.cause) for result in results]

"""The numbers beside scipy's, and the sentences that they lead to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from caffeport.errors import Refused
from caffeport.evaluate.findings import Inputs, judge
from caffeport.evaluate.metrics import agreement, classification
from caffeport.transform import Preprocessing

SCORES = arrays(np.float64, 30, elements=st.integers(-20, 20).map(float))


@given(SCORES, SCORES)
@settings(max_examples=60, deadline=None)
def test_correlations_are_scipys(guess: np.ndarray, true: np.ndarray) -> None:
    found = agreement(guess, true, resamples=0)
    if np.ptp(guess) == 0 or np.ptp(true) == 0:
        assert found.rho is found.pearson is None
        return
    assert found.rho == pytest.approx(stats.spearmanr(guess, true).statistic, abs=1e-12)
    assert found.pearson == pytest.approx(stats.pearsonr(guess, true).statistic, abs=1e-12)
    assert found.ks == pytest.approx(stats.ks_2samp(guess, true, method="asymp").statistic)
    assert found.mse == pytest.approx(np.mean((guess - true) ** 2))


def test_the_interval_is_repeatable_and_holds_rho() -> None:
    rng = np.random.default_rng(2)
    true = rng.normal(size=200)
    guess = true + rng.normal(size=200)
    found = agreement(guess, true)
    assert found == agreement(guess, true)
    assert found.rho is not None
    assert found.rho_low is not None
    assert found.rho_high is not None
    assert found.rho_low < found.rho < found.rho_high
    # Fisher's interval for 200 pairs: about as wide.
    half = 1.96 / math.sqrt(197) * (1 - found.rho**2)
    assert (found.rho_high - found.rho_low) / 2 == pytest.approx(half, rel=0.3)


@pytest.mark.parametrize("pair", [([1.0], [1.0]), ([1, 2], [1, 2, 3]), ([1, math.nan], [1, 2])])
def test_what_cannot_be_compared(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(Refused):
        agreement(*pair)


def test_classes() -> None:
    scores = np.eye(7)[[0, 1, 2, 3, 3]] + np.arange(7) / 100
    found = classification(scores, [0, 1, 2, 3, 0])
    assert (found.count, found.correct, found.top1, found.top5) == (5, 4, 0.8, 0.8)
    assert found.confusion[0][3] == 1
    for labels in ([0, 1, 2, 3, 7], [0, 1, 2, 3, 0.5], [0, 1, 2, 3, -1], [0]):
        with pytest.raises(Refused):
            classification(scores, labels)


def squeezed(times: float) -> tuple[np.ndarray, np.ndarray]:
    """Good ranks, and a spread so many times narrower than the truth's."""
    rng = np.random.default_rng(0)
    true = np.clip(rng.normal(0.75, 0.15, 2000), 0, 1)
    guess = true + rng.normal(0, 0.2, 2000)
    return 0.75 + (guess - guess.mean()) * (true.std() / times / guess.std()), true


def test_predictions_squeezed_sixty_times_are_told() -> None:
    found = agreement(*squeezed(60), resamples=0)
    assert found.ratio == pytest.approx(1 / 60)
    assert found.rho is not None
    assert found.rho > 0.5
    first, second = judge(found)
    assert first.startswith(
        "The model regresses to the mean: its predictions spread 60 times narrower than the truth (standard deviation "
    )
    assert "Its ranks may be good all the same (rho 0.5" in first
    assert "is also what inputs of a wrong scale give" in second


def test_predictions_of_the_truths_spread_are_not_told_off() -> None:
    assert judge(agreement(*squeezed(1), resamples=0), Preprocessing(mean_values=(104, 117, 123))) == ()


def test_inputs_of_a_wrong_scale_are_told() -> None:
    found = agreement(*squeezed(1), resamples=0)
    fed = Inputs(-107, 12, -123, -103)
    forgotten = Preprocessing(value_range=1, mean_values=(104, 117, 123))
    (sentence,) = judge(found, forgotten, fed)
    assert sentence.startswith(
        "The inputs look mis-scaled: pixels of 0 to 1 less a mean of 123; the inputs run from -123"
    )
    assert "raw_scale 255 is missing" in sentence
    (sentence,) = judge(found, Preprocessing(mean_values=(0.4, 0.45, 0.48)))
    assert "The mean belongs to pixels of 0 to 1." in sentence
    for fine in (Preprocessing(value_range=1, raw_scale=255, mean_values=(104,)), Preprocessing(scale=1 / 256)):
        assert judge(found, fine) == ()
    narrow = agreement(*squeezed(60), resamples=0)
    assert "needs raw_scale 255" in judge(narrow, Preprocessing(value_range=1))[-1]


def test_other_findings() -> None:
    guess, true = squeezed(1)
    assert "All predictions are equal" in judge(agreement(np.full(9, 0.7), true[:9], resamples=0))[0]
    assert "constant" in judge(agreement(true[:9], np.full(9, 0.7), resamples=0))[0]
    assert "4 times wider" in judge(agreement(*squeezed(1 / 4), resamples=0))[0]
    assert "standard deviations above the truth" in judge(agreement(guess + 1, true, resamples=0))[0]
    assert "ranks are reversed" in judge(agreement(1.5 - guess, true, resamples=200))[0]

"""Comparison as pure data: what counts as different, by how much, and where."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeport.verify.compare import DECADES, FORWARD, NOISE_FACTOR, Comparison, compare


def of(got: object, want: object, **options: object) -> Comparison:
    options = {"mode": "alone", **options}
    return compare(np.asarray(got), np.asarray(want), layer="conv1", what="top 'conv1'", **options)  # type: ignore[arg-type]


def test_place_and_values_of_the_worst() -> None:
    want = np.array([[1.0, 2.0, 4.0], [8.0, 0.5, 16.0]])
    got = want.copy()
    got[1, 0] += 0.5
    got[0, 0] += 0.25
    one = of(got, want)
    assert not one.passed
    assert (one.count, one.beyond, one.worst, one.index, one.got, one.want) == (6, 2, 0.5, (1, 0), 8.5, 8.0)
    assert (one.relative, one.relative_index, one.relative_got, one.relative_want) == (0.25, (0, 0), 1.25, 1.0)
    assert one.mean == pytest.approx(0.75 / 6)
    assert one.scale == 16
    assert one.allowed == pytest.approx(16 * FORWARD)
    assert one.cosine == pytest.approx(float((got * want).sum() / np.linalg.norm(got) / np.linalg.norm(want)))
    assert "2 of 6 values beyond" in str(one)
    assert "worst at [1, 0]: 8.5, Caffe has 8" in str(one)


def test_tiny_values_do_not_count_as_relative_differences() -> None:
    assert of([1.0, 2e-9], [1.0, 1e-9]).relative == 0


def test_nan_passes_only_on_both_sides() -> None:
    assert of([np.nan, 1.0], [np.nan, 1.0]).passed
    assert of([np.inf, 1.0], [np.inf, 1.0]).passed
    for got, want in (([np.nan, 1.0], [1.0, 1.0]), ([1.0, 1.0], [np.nan, 1.0]), ([np.inf, 1.0], [-np.inf, 1.0])):
        one = of(got, want)
        assert not one.passed
        assert one.beyond == 1
        assert one.worst == np.inf
        assert one.index == (0,)


def test_shapes_must_agree() -> None:
    one = of(np.zeros((2, 3)), np.zeros((3, 2)))
    assert not one.passed
    assert "shape is (2, 3), Caffe has (3, 2)" in str(one)


def test_noise_widens_what_is_allowed_in_chain_only() -> None:
    noise = 1e-3
    assert of([1.0], [1.0], mode="chain", noise=noise).allowed == pytest.approx(NOISE_FACTOR * noise)
    assert of([1.0], [1.0], mode="alone", noise=noise).allowed == pytest.approx(FORWARD)
    assert of([1.0 + 2e-3], [1.0], mode="chain", noise=noise).of_noise == pytest.approx(2)


def test_nothing_and_all_zeros() -> None:
    assert of(np.zeros(0), np.zeros(0)).passed
    zeros = of(np.zeros(3), np.zeros(3))
    assert zeros.passed
    assert (zeros.cosine, zeros.ulps, zeros.share) == (None, 0.0, 0.0)
    assert not of([1e-30], [0.0]).passed


def test_ulps_of_the_scale() -> None:
    want = np.array([1.0], np.float32)
    assert of(np.nextafter(want, np.float32(2)), want).ulps == 1.0


@given(st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=30), st.floats(-1, 1))
def test_histogram_counts_every_value_and_json_holds_everything(values: list[float], shift: float) -> None:
    want = np.array(values, np.float32)
    one = of(want + np.float32(shift), want)
    assert sum(one.histogram) == want.size
    assert len(one.histogram) == len(DECADES) + 2
    json.dumps(one.as_json(), allow_nan=False)


def test_histogram_bins() -> None:
    one = of([1.0, 1.0 + 2e-3, 100.0], [1.0, 1.0, 1.0])
    assert one.histogram[0] == 1
    assert one.histogram[DECADES.index(-3.0) + 2] == 1
    assert one.histogram[-1] == 1

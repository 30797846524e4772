"""Joining nets and weights: what Caffe would load is taken, the rest refused with both shapes."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caffeport.caffe.net import parse_net
from caffeport.caffe.weights import open_weights
from caffeport.caffe.write import write_binary
from caffeport.errors import WeightsMismatch
from caffeport.graph import build
from caffeport.port import match, open_port

FORMATS = Path(__file__).parents[1] / "golden" / "formats"

SHARED = """
input: "data" input_shape { dim: 2 dim: 4 }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 4 }
        param { name: "w" } param { name: "b" } }
layer { name: "c" type: "InnerProduct" bottom: "a" top: "c" inner_product_param { num_output: 4 }
        param { name: "w" } param { name: "b" } }
"""


def test_hdf5_without_the_shared_blobs(tmp_path: Path) -> None:
    """Caffe writes a shared parameter once, under its owner."""
    file = tmp_path / "net.caffemodel.h5"
    with h5py.File(file, "w") as data:
        owner = data.create_group("data/a")
        owner["0"], owner["1"] = np.eye(4, dtype=np.float32), np.ones(4, np.float32)
        data.create_group("data/c")
    arrays = match(build(parse_net(SHARED)), open_weights(file)).arrays()
    np.testing.assert_array_equal(arrays["c.weight"], np.eye(4))
    np.testing.assert_array_equal(arrays["c.bias"], np.ones(4))


def test_hdf5_without_an_unshared_blob_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.caffemodel.h5"
    with h5py.File(file, "w") as data:
        data.create_group("data/a")["0"] = np.eye(4, dtype=np.float32)
    with pytest.raises(
        WeightsMismatch, match=r"layer 'a' \(InnerProduct\): has 1 blobs in .*the net wants 2 \(4x4, 4\)"
    ):
        match(build(parse_net(SHARED)), open_weights(file))


def test_layers_that_only_the_file_has_are_told() -> None:
    folder = FORMATS / "v2-shuffled-extra-layers"
    assert open_port(folder / "net.prototxt", folder / "net.caffemodel").unused


def test_what_told_the_shape_of_an_input_is_noted() -> None:
    port = open_port(None, FORMATS / "v1-training-net" / "net.caffemodel")
    assert any("data" in note and "35" in note for note in port.notes)


def test_a_net_with_parameters_needs_weights() -> None:
    with pytest.raises(WeightsMismatch, match=r"needs 2 blobs of weights; give a \.caffemodel"):
        match(build(parse_net(SHARED)).alone(build(parse_net(SHARED)).nodes[1]), None)


def test_weights_for_two_layers_of_one_name_are_refused(tmp_path: Path) -> None:
    """Caffe leaves the second one as its filler drew it, so there are no right numbers for it."""
    twins = SHARED.replace('name: "c" type', 'name: "a" type')
    file = tmp_path / "net.caffemodel"
    values = [np.eye(4, dtype=np.float32), np.ones(4, np.float32)]
    write_binary(parse_net(twins).message, {"a": values}, file)
    assert set(match(build(parse_net(twins)), open_weights(file)).blobs) == {(1, 0), (1, 1)}  # shared: one owner
    alone = twins.replace('name: "w"', "").replace('name: "b"', "")
    with pytest.raises(
        WeightsMismatch, match=r"layer 'a' .*: has the name of .*:3: layer 'a' .*first layer of that name"
    ):
        match(build(parse_net(alone)), open_weights(file))

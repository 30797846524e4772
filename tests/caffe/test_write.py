"""Written nets read back as what they were: by caffeport, and by protobuf."""

from __future__ import annotations

import math
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeport.caffe.binary import read_binary
from caffeport.caffe.net import read_net, read_net_message
from caffeport.caffe.text import parse_text
from caffeport.caffe.tree import Field, Message, Token, Where
from caffeport.caffe.upgrade import upgrade_net
from caffeport.caffe.weights import open_solverstate, open_weights, read_mean
from caffeport.caffe.write import (
    net_text,
    short_float,
    write_binary,
    write_mean,
    write_solverstate,
    write_text,
)
from caffeport.errors import CaffeportError, Refused, WeightsMismatch
from caffeport.files import replacing

from .witness import message_class

HERE = Where("t")
FORMATS = sorted(path.parent.name for path in (Path(__file__).parents[2] / "golden/formats").glob("*/net.caffemodel"))


def plain(message: Message) -> list[object]:
    """A tree without places."""
    return [(f.name, plain(f.value) if isinstance(f.value, Message) else f.value) for f in message.fields]


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "blobs")
tokens = st.one_of(
    st.builds(Token, st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.just(True)),
    st.builds(
        Token, st.sampled_from(["MAX", "true", "1", "-2.5", ".5", "1.", "1e-5", "-1e+10", "1f", "0x1F", "-inf", "nan"])
    ),
)
trees = st.recursive(
    st.builds(lambda fields: fields, st.just(())),
    lambda inner: st.lists(
        st.tuples(names, st.one_of(tokens, inner.map(lambda fields: Message(tuple(fields), HERE)))), max_size=4
    ).map(lambda pairs: tuple(Field(name, value, HERE) for name, value in pairs)),
    max_leaves=12,
).map(lambda fields: Message(tuple(fields), HERE))


@settings(max_examples=300, deadline=None)
@given(trees)
def test_text_reads_back_as_the_same_tree(tree: Message) -> None:
    assert plain(parse_text(net_text(tree))) == plain(tree)


@given(st.floats(width=32))
def test_floats_are_written_short_and_exact(value: float) -> None:
    text = short_float(value)
    back = float(text)
    assert math.isnan(value) == math.isnan(back)
    assert math.isnan(value) or struct.pack("<f", back) == struct.pack("<f", value)
    assert len(text) <= 15


def test_floats_as_people_write_them() -> None:
    values = [0.1, 1e-4, 0.75, 5.0, 1e30, float("inf")]
    written = [short_float(struct.unpack("<f", struct.pack("<f", value))[0]) for value in values]
    assert written == ["0.1", "0.0001", "0.75", "5", "1e+30", "inf"]
    assert float(short_float(0.1 + 1e-12)) == 0.1 + 1e-12, "no float32: all its digits"


def test_a_binary_net_becomes_readable_text(golden: Path) -> None:
    text = net_text(read_net(golden / "formats/v2/net.caffemodel").without_blobs())
    assert '  type: "Convolution"\n' in text
    assert "    pool: MAX\n" in text
    assert "blobs" not in text
    assert plain(parse_text(net_text(parse_text(text)))) == plain(parse_text(text))


def test_what_text_cannot_say_is_refused(golden: Path) -> None:
    with pytest.raises(Refused, match="#777"):
        net_text(read_net_message(golden / "formats/v2-unknown-fields/net.caffemodel"))
    for field in (Field("a b", 1, HERE), Field("a", Token("x } y"), HERE), Field("a", Token(""), HERE)):
        with pytest.raises(Refused):
            net_text(Message((field,), HERE))


def test_real_nets_read_back(shared: Path) -> None:
    for path in sorted((shared / "models").glob("*/*.prototxt")):
        tree = read_net_message(path)
        assert plain(parse_text(net_text(tree))) == plain(tree)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("today", [False, True])
def test_caffemodels_of_every_format_are_written_again(golden: Path, tmp_path: Path, name: str, today: bool) -> None:
    """As they are and upgraded: protobuf and caffeport read the same net and weights back, unknown fields included."""
    source, target = golden / "formats" / name / "net.caffemodel", tmp_path / "net.caffemodel"
    tree, weights = read_net_message(source), open_weights(source)
    write_binary(upgrade_net(tree) if today else tree, weights, target)
    again = open_weights(target)
    assert again.era == ("V2" if today else weights.era)
    assert set(again) == set(weights)
    for key, blobs in weights.items():
        for mine, wanted in zip(again[key], blobs, strict=True):
            assert (mine.shape, mine.legacy) == (wanted.shape, wanted.legacy)
            np.testing.assert_array_equal(mine.numpy(), wanted.numpy())
    theirs = message_class("NetParameter").FromString(target.read_bytes())
    before = message_class("NetParameter").FromString(source.read_bytes())
    if not today:
        for layer in [part for net in (theirs, before) for part in (*net.layers, *net.layer)]:
            layer.ClearField("blobs")
            layer.layer.ClearField("blobs") if hasattr(layer, "layer") and layer.HasField("layer") else None
            layer.DiscardUnknownFields()
        assert str(theirs) == str(before)
        # The unknown fields within blobs go with the blobs' own layout.
        stripped = [[f for f in plain(read_binary(path)) if str(f).startswith("('#")] for path in (source, target)]
        assert stripped[0] == stripped[1]


def test_arrays_go_where_the_era_keeps_them(tmp_path: Path) -> None:
    arrays: dict[str, list[Any]] = {"f": [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2)]}
    for text, era, shapes in (
        ('layers { layer { name: "f" type: "innerproduct" } }', "V0", [(1, 1, 2, 3), (1, 1, 1, 2)]),
        ('layers { name: "f" type: INNER_PRODUCT }', "V1", [(1, 1, 2, 3), (1, 1, 1, 2)]),
        ('layer { name: "f" type: "InnerProduct" }', "V2", [(2, 3), (2,)]),
    ):
        write_binary(parse_text(text), arrays, tmp_path / era)
        found = open_weights(tmp_path / era)
        assert found.era == era
        assert [one.shape for one in found["f"]] == shapes
        assert [one.dtype for one in found["f"]] == ["float32", "float64"]
        np.testing.assert_array_equal(found["f"][0].numpy().ravel(), range(6))


def test_what_binary_cannot_say_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net"
    with pytest.raises(WeightsMismatch, match="'g'"):
        write_binary(parse_text('layer { name: "f" type: "ReLU" }'), {"g": [np.ones(1)]}, path)
    for text in (
        'layer { name: "f" type: "X" made_up: 3 }',
        'layer { name: "f" type: "ReLU" relu_param { negative_slope: steep } }',
        'layer { name: "f" type: "Pooling" pooling_param { pool: MEDIAN } }',
    ):
        with pytest.raises(CaffeportError):
            write_binary(parse_text(text), {}, path)
    assert list(tmp_path.iterdir()) == [], "nothing half written"


def test_writing_copies_a_mapped_file_in_little_memory(tmp_path: Path) -> None:
    net = parse_text('layer { name: "f" type: "InnerProduct" }')
    write_binary(net, {"f": [np.zeros((1024, 4096), np.float32)]}, tmp_path / "a")
    weights = open_weights(tmp_path / "a")
    tracemalloc.start()
    write_binary(net, weights, tmp_path / "b")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert peak < 1 << 20


def test_means_and_solver_states(tmp_path: Path) -> None:
    mean = np.random.RandomState(0).standard_normal((3, 4, 5)).astype(np.float32)
    write_mean(mean, tmp_path / "mean.binaryproto")
    np.testing.assert_array_equal(read_mean(tmp_path / "mean.binaryproto"), mean)
    history = [np.ones((2, 3), np.float32), np.zeros(4, np.float32)]
    write_solverstate(tmp_path / "s.solverstate", 70, "net_iter_70.caffemodel", 3, history)
    state = open_solverstate(tmp_path / "s.solverstate")
    assert (state.iter, state.learned_net, state.current_step) == (70, "net_iter_70.caffemodel", 3)
    assert [one.shape for one in state.history] == [(2, 3), (4,)]
    theirs = message_class("SolverState").FromString((tmp_path / "s.solverstate").read_bytes())
    assert (theirs.iter, theirs.current_step, len(theirs.history)) == (70, 3, 2)


def test_text_files_are_protobufs_too(golden: Path, tmp_path: Path) -> None:
    write_text(
        upgrade_net(read_net_message(golden / "formats/v0-legacy-blobs/net.caffemodel")), tmp_path / "n.prototxt"
    )
    net = text_format.Parse((tmp_path / "n.prototxt").read_text(), message_class("NetParameter")())
    assert [layer.type for layer in net.layer][:3] == ["Input", "Convolution", "ReLU"]


def test_replacing_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target) as part:
        part.write_text("half, and then an error: " + (tmp_path / "missing").read_text())
    assert target.read_text() == "old"
    with replacing(target) as part:
        assert (part.parent, part.suffix) == (tmp_path, ".txt")
        part.write_text("new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]
    for bad in (tmp_path, tmp_path / "missing" / "x", Path("/dev/null")):
        with pytest.raises(Refused), replacing(bad):
            pass

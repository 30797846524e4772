"""The binary reader and writer beside protobuf, on every net at hand and on random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeport.caffe.binary import Raw, parse_binary, read_binary
from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.tree import Message
from caffeport.caffe.weights import open_weights

from .wiring import sized, tag, varint
from .witness import message_class

FORMATS = sorted(path.parent.name for path in (Path(__file__).parents[2] / "golden/formats").glob("*/net.caffemodel"))
ARRAYS = {"data", "diff", "double_data", "double_diff"}


def agree(mine: Message, theirs: Any, path: str = "net") -> int:
    """Compare a tree with protobuf's message, both ways, and count the values."""
    count = 0
    kinds = Schema.load().message(theirs.DESCRIPTOR.name)
    known = {field.name for field in theirs.DESCRIPTOR.fields}
    names = {field.name for field in mine.fields if field.name in known}
    wanted = {field.name for field, _ in theirs.ListFields()} - (ARRAYS if kinds.name == "BlobProto" else set())
    assert names == wanted, path
    for name in names:
        values = [field.value for field in mine.all(name)]
        other = getattr(theirs, name)
        if kinds.by_name[name].repeated:
            assert len(values) == len(other), f"{path}.{name}"
            pairs = list(zip(values, other, strict=True))
        else:
            pairs = [(values[-1], other)]
        for value, their in pairs:
            if isinstance(value, Message):
                count += agree(value, their, f"{path}.{name}")
            else:
                assert value == their or value != value, f"{path}.{name}"
                count += 1
    return count


def both(path: Path) -> None:
    theirs = message_class("NetParameter").FromString(path.read_bytes())
    assert agree(read_binary(path), theirs) > 10
    weights = open_weights(path)
    layers = theirs.layers or theirs.layer
    expected = {}
    for one in layers:
        one = one.layer if theirs.layers and one.HasField("layer") else one
        expected[one.name] = list(one.blobs)
    expected = {name: blobs for name, blobs in expected.items() if blobs}
    assert set(weights) == set(expected)
    for name, blobs in expected.items():
        for mine, their in zip(weights[name], blobs, strict=True):
            values = their.double_data or their.data
            if mine.dtype != "float16":  # which no schema but NVCaffe's knows
                np.testing.assert_array_equal(mine.numpy().ravel(), np.array(values, mine.dtype))


@pytest.mark.parametrize("name", FORMATS)
def test_agrees_with_protobuf_on_every_format(golden: Path, name: str) -> None:
    both(golden / "formats" / name / "net.caffemodel")


def test_agrees_with_protobuf_on_real_models(shared: Path) -> None:
    paths = sorted((shared / "models").glob("*/*.caffemodel"))
    assert len(paths) > 15
    for path in paths:
        both(path)


def test_unknown_fields_are_kept_as_they_are() -> None:
    group = tag(900, 3) + sized(1, b"x") + tag(900, 4)
    known = sized(1, "n") + tag(777, 0) + varint(5) + tag(778, 5) + b"1234" + tag(779, 1) + b"12345678" + group
    tree = parse_binary(known + sized(780, b"bytes"))
    found = {field.name: field.value for field in tree.fields}
    assert found == {
        "name": "n",
        "#777": 5,
        "#778": b"1234",
        "#779": b"12345678",
        "#900": b"\x0a\x01x",
        "#780": b"bytes",
    }
    kinds = [field.value.kind for field in tree.fields if isinstance(field.value, Raw)]
    assert kinds == [5, 1, 3, 2]


def test_a_known_number_in_another_wire_type_is_unknown() -> None:
    tree = parse_binary(tag(1, 0) + b"\7" + sized(4, b"\1\2") + tag(4, 0) + b"\3")
    assert [(field.name, field.value) for field in tree.fields] == [
        ("#1", 7), ("input_dim", 1), ("input_dim", 2), ("input_dim", 3)
    ]  # fmt: skip


def test_a_forks_field_is_known_by_the_type_of_its_layer() -> None:
    for kind, field in (("Permute", "permute_param"), ("Normalize", "norm_param")):
        number = Schema.load().message("LayerParameter").by_name[field].number
        tree = parse_binary(sized(100, sized(2, kind) + sized(number, b"")))
        assert [f.name for f in next(tree.messages("layer")).fields] == ["type", field]


def test_signs_and_ranges() -> None:
    blob = tag(1, 0) + varint(-1)
    text = parse_binary(sized(7, tag(2, 0) + varint(2**32 - 1)) + tag(30, 0) + varint(-5), "SolverParameter")
    assert parse_binary(blob, "SolverState").fields[0].value == -1
    assert text.all("solver_type")[0].value == -5
    uint = parse_binary(tag(1, 0) + varint(2**32 + 7), "AccuracyParameter")
    assert uint.fields[0].value == 7


# ---- random messages ----------------------------------------------------------------------------------------------


def value_for(field: FieldType) -> st.SearchStrategy[Any]:
    if field.type == "string":
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    if field.type in ("float", "double"):
        return st.floats(width=32, allow_nan=False)
    if field.type == "bool":
        return st.booleans()
    low, high = {"uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1)}.get(field.type, (-(2**31), 2**31 - 1))
    return st.integers(low, high)


@st.composite
def random_message(draw: st.DrawFn, name: str = "NetParameter", depth: int = 0) -> Any:
    schema = Schema.load()
    message = message_class(name)()
    own = [field for field in schema.message(name).by_number.values() if field.fork is None]
    for field in draw(st.lists(st.sampled_from(own), max_size=5, unique=True)):
        for _ in range(draw(st.integers(1, 3)) if field.repeated else 1):
            if schema.kind(field.type) == "message":
                if depth > 3:
                    continue
                inner = draw(random_message(field.type, depth + 1))
                target = getattr(message, field.name)
                (target.add() if field.repeated else target).CopyFrom(inner)
                if not field.repeated:
                    target.SetInParent()
            else:
                enum = schema.enums.get(field.type)
                value = draw(st.sampled_from(sorted(enum.values())) if enum else value_for(field))
                if field.repeated:
                    getattr(message, field.name).append(value)
                else:
                    setattr(message, field.name, value)
    return message


@settings(max_examples=150, deadline=None)
@given(random_message())
def test_agrees_with_protobuf_on_random_nets(message: Any) -> None:
    tree = parse_binary(message.SerializePartialToString())
    agree(tree, message)

"""Identifiers for names out of files: every name gets one, no two share one, and none breaks Python or torch."""

from __future__ import annotations

import keyword

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from caffeport import nn as own
from caffeport.caffe.net import parse_net
from caffeport.emit.names import LOCAL_NAMES, MODULE_NAMES, class_name, identifiers, name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import compile_source
from caffeport.graph import build

#: Any text, and names that are near each other or near trouble.
ANY = st.one_of(
    st.text(),
    st.text("aA_1/ -", max_size=4),
    st.sampled_from([*keyword.kwlist, *keyword.softkwlist, *sorted(MODULE_NAMES), *sorted(LOCAL_NAMES)]),
    st.sampled_from(["_parameters", "_modules", "__class__", "__init__", "_", "", "conv1_2", "conv1", "conv1_11x9"]),
)


@given(st.lists(ANY, max_size=12), st.sampled_from([MODULE_NAMES, LOCAL_NAMES, frozenset[str]()]))
@example(["conv1/11x9", "conv1_11x9", "conv1 11x9", "conv1_11x9_2"], MODULE_NAMES)
@example(["", "_", "1", "_1", "n_1", "n_"], frozenset())
@example(["class", "class_", "class"], frozenset())
@example(["层", "層", "é"], frozenset())
def test_total_injective_safe_and_the_same_every_time(names: list[str], reserved: frozenset[str]) -> None:
    found = identifiers(names, reserved)
    assert len(found) == len(names)
    assert len(set(found)) == len(found)
    assert found == identifiers(names, reserved)
    for word in found:
        assert word.isidentifier()
        assert word.isascii()
        assert not keyword.iskeyword(word)
        assert not keyword.issoftkeyword(word)
        assert word not in reserved
        assert not word.startswith("__")
        assert not hasattr(nn.Module(), word) or reserved is not MODULE_NAMES


@given(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]*", fullmatch=True), unique=True, max_size=8))
def test_names_that_are_identifiers_keep_themselves(names: list[str]) -> None:
    plain = [name for name in names if not keyword.iskeyword(name) and not keyword.issoftkeyword(name)]
    assert identifiers(plain) == tuple(plain)
    # Names that must give way do not take theirs, whatever the order.
    assert identifiers([*(f"{name}?" for name in plain), *plain])[len(plain) :] == tuple(plain)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("1x1", "_1x1"),
        ("class", "class_"),
        ("match", "match_"),
        ("conv1/11x9", "conv1_11x9"),
        ("_x", "n_x"),
        ("", "n_"),
        ("type", "type_2"),
        ("self.__class__ = None #", "self___class_____None__"),
        ('"""\nimport os\n"""', "n____import_os____"),
    ],
)
def test_how_names_give_way(name: str, word: str) -> None:
    assert identifiers([name], MODULE_NAMES) == (word,)


def test_module_names_are_all_that_torch_has() -> None:
    public = {name for name in dir(nn.Module()) if not name.startswith("_")}
    assert public <= MODULE_NAMES, "torch has new names: add them"


HOSTILE = [
    *sorted(MODULE_NAMES),
    "_modules",
    "_parameters",
    "__init__",
    "__class__",
    "1x1",
    "a b",
    "a/b",
    "a_b",
    "",
    "é",
]


def test_layers_and_blobs_of_any_name_run() -> None:
    lines = ['layer { name: "in" type: "Input" top: "self" input_param { shape { dim: 2 dim: 3 } } }']
    blob = "self"
    for name in [*HOSTILE, *sorted(LOCAL_NAMES - {"self"})]:
        lines.append(
            f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{blob}" top: "{name}!" '
            "inner_product_param { num_output: 3 } }"
        )
        blob = f"{name}!"
    graph = build(parse_net("\n".join(lines)))
    names = name_graph(graph)
    port = compile_source(emit(graph), names.cls)()
    assert set(port.state_dict()) == set(names.state.values())
    assert port(torch.ones(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("CaffeNet", "CaffeNet"),
        ("tiny-memnet", "TinyMemnet"),
        ("", "Net"),
        ("层", "Net"),
        ("16 layers", "Net16Layers"),
        ("none", "NoneNet"),
        ("tensor", "TensorNet"),
        ("path", "PathNet"),
        ("pool", "PoolNet"),
        ("evil: import os", "EvilImportOs"),
    ],
)
def test_class_names(name: str, cls: str) -> None:
    assert class_name(name) == cls


@given(st.text())
def test_class_names_are_safe(name: str) -> None:
    cls = class_name(name)
    assert cls.isidentifier()
    assert not keyword.iskeyword(cls)
    assert cls not in own.__all__


@pytest.mark.parametrize("name", ["Concat", "Path", "Tensor", "F", "Split"])
def test_a_net_named_as_what_its_source_uses_runs(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = f"""
    name: "{name}"
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
    layer {{ name: "s" type: "Split" bottom: "x" top: "a" top: "b" }}
    layer {{ name: "c" type: "Concat" bottom: "a" bottom: "b" top: "y" }}
    """
    graph = build(parse_net(text))
    cls = compile_source(emit(graph), name_graph(graph).cls)
    assert cls()(torch.ones(2, 3)).shape == (2, 6)
    file = tmp_path_factory.mktemp("state") / "state.pt"
    torch.save({}, file)
    assert cls.forward.__globals__["load"](file)(torch.ones(1, 3)).shape == (1, 6)

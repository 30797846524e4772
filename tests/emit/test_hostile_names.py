"""Nets whose layers and blobs are called anything at all: source, module, ONNX and the net in a .pt all work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caffeport.artefacts import source
from caffeport.caffe.net import NetDef, build_net, parse_net
from caffeport.caffe.tree import Field, Message, Token, Where
from caffeport.caffe.write import net_text
from caffeport.emit import onnx as emit_onnx
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import module
from caffeport.errors import CaffeportError
from caffeport.graph import Graph, build
from caffeport.port import Port

NASTY = (
    "conv1", "conv1.weight", "conv1_2.weight", "conv1/Conv", "conv1/ints", "a", "a.weight", "a.bias", "a@b", "b", "1x1",
    "class", "lambda", "match", "self", "forward", "loss", "torch", "nn", "F", "Tensor", "math", "float", "weight", "N",
    "x'y", 'x"y', '"""', "'''", "\\", "\\n", "{x}", "%s", "#", "new\nline", "tab\t", "nul\0", "\x7f", "\u2028", "层",
    "é", "e\u0301", "\u202e", "🙂", "../../etc/passwd", "__class__", "_modules", "", "''');import os#",
)  # fmt: skip
#: What a prototxt may say; lone surrogates are no text, so no file can hold one.
NAMES = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KINDS = st.sampled_from(["Convolution", "Scale", "PReLU", "ReLU", "InPlace", "Split"])
PARAMS = {"Convolution": "convolution_param { num_output: 2 kernel_size: 1 }"}


@dataclass(frozen=True)
class Chain:
    """Layers one behind the other: a kind, a name and a blob each."""

    net: str
    data: str
    layers: tuple[tuple[str, str, str], ...]


CHAINS = st.builds(
    Chain, NAMES, NAMES.filter(bool), st.lists(st.tuples(KINDS, NAMES, NAMES), min_size=1, max_size=5).map(tuple)
)


def field(name: str, value: str) -> Field:
    return Field(name, Token(value, quoted=True), HERE)


HERE = Where("n.prototxt", 1)


def net_of(chain: Chain) -> NetDef:
    """The chain as a net; a blob's name that another layer has made already stands for in-place computation."""
    shape = parse_net('layer { type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }')
    given = shape.layers[0].message.all("input_param")
    layers = [Message((field("name", "in"), field("type", "Input"), field("top", chain.data), *given), HERE)]
    made, bottom = {chain.data}, chain.data
    for kind, name, top in chain.layers:
        top = bottom if kind == "InPlace" or top in made else top
        tops: tuple[Field, ...] = (field("top", top),)
        if kind == "Split" and top != bottom and f"{top}2" not in made:
            tops += (field("top", f"{top}2"),)
        made.update(str(one.value.text) for one in tops if isinstance(one.value, Token))
        # Neither runs in place; a ReLU does.
        kind = "ReLU" if kind == "InPlace" or (top == bottom and kind in ("Convolution", "Split")) else kind
        own = parse_net(f'layer {{ type: "X" {PARAMS.get(kind, "")} }}').layers[0].message.without("type").fields
        layers.append(Message((field("name", name), field("type", kind), field("bottom", bottom), *tops, *own), HERE))
        bottom = top
    fields = (field("name", chain.net), *(Field("layer", layer, HERE) for layer in layers))
    return build_net(Message(fields, HERE), "n.prototxt")


def results(graph: Graph, made: Any, fed: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad():
        got = made(torch.from_numpy(fed))
    got = got if isinstance(got, dict) else {graph.outputs[0].blob: got}
    return {name: tensor.numpy() for name, tensor in got.items()}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CHAINS)
def test_names_are_data_in_every_form(chain: Chain) -> None:
    net = net_of(chain)
    graph = build(net)
    text = net_text(net.without_blobs())
    again = build(parse_net(text, "n.prototxt"))
    assert emit(again) == emit(graph)
    assert [node.name for node in again.nodes] == [node.name for node in graph.nodes]

    rng = np.random.default_rng(0)
    keys = name_graph(graph).state
    state = {
        keys[node.index, k]: rng.standard_normal(param.shape).astype(np.float32)
        for node in graph.computing
        for k, param in enumerate(node.params)
    }
    fed = rng.standard_normal(graph.inputs[0].shape).astype(np.float32)
    tensors = {key: torch.from_numpy(array) for key, array in state.items()}
    want = results(graph, module(graph, tensors), fed)
    assert want.keys() == {value.blob for value in graph.outputs}
    for name, array in results(graph, module(graph, tensors, standalone=True), fed).items():
        np.testing.assert_array_equal(array, want[name])

    blobs = {blob for layer in net for blob in (*layer.bottoms, *layer.tops)}
    if "" in blobs:
        with pytest.raises(CaffeportError, match="a blob without a name"):
            emit_onnx.emit(graph, state)
        return
    model = emit_onnx.emit(graph, state)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    got = session.run([value.name for value in graph.outputs], {graph.inputs[0].name: fed})
    for value, array in zip(graph.outputs, got, strict=True):
        np.testing.assert_allclose(array, want[value.blob], atol=1e-4)


@pytest.mark.parametrize("name", ['a"""\nimport os  # .caffemodel', "a\\", "a'''", 'a"', "a\nb"])
def test_names_of_source_files_are_data_too(name: str, tmp_path: Path) -> None:
    """The docstring of emitted source tells the files that it came from."""
    weights, made = tmp_path / name, tmp_path / "out.py"
    weights.write_bytes(b"weights")
    graph = build(net_of(Chain("n", "x", (("ReLU", "a", "y"),))))
    source.write(Port(graph, {}, sources=(weights,)), made, made)
    names: dict[str, Any] = {}
    exec(compile(made.read_text(), "out.py", "exec"), names)
    assert "os" not in names
    assert "SHA-256" in names["__doc__"]
    assert isinstance(names["N"](), torch.nn.Module)


def test_helpers_of_one_layer_do_not_take_the_name_of_another() -> None:
    """ONNX Runtime refuses two nodes of one name; a Split's second top and a layer are often called alike."""
    chain = Chain("n", "x", (("Split", "s", "a"), ("ReLU", "a2", "b"), ("ReLU", "a2", "c")))
    model = emit_onnx.emit(build(net_of(chain)), {})
    titles = [node.name for node in model.graph.node]
    assert len(titles) == len(set(titles))
    assert titles[0] == "s"
    assert "a2" in titles
    onnxruntime.InferenceSession(model.SerializeToString())

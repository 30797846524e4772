"""Which sides follow the batch: in plain nets, behind the steps of sequences, and where a net fixes it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from caffeport.artefacts.exported import export
from caffeport.batch import free_axes
from caffeport.caffe.net import parse_net
from caffeport.emit import onnx as emit_onnx
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import module
from caffeport.graph import Graph, build

CAPTIONS = """
layer { name: "words" type: "Input" top: "words" input_param { shape { dim: 4 dim: 2 dim: 3 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 4 dim: 2 } } }
layer { name: "picture" type: "Input" top: "picture" input_param { shape { dim: 2 dim: 5 } } }
layer { name: "embed" type: "InnerProduct" bottom: "words" top: "embed"
        inner_product_param { num_output: 6 axis: 2 } }
layer { name: "seen" type: "InnerProduct" bottom: "picture" top: "seen" inner_product_param { num_output: 7 } }
layer { name: "lstm" type: "LSTM" bottom: "embed" bottom: "cont" bottom: "seen" top: "lstm"
        recurrent_param { num_output: 3 } }
"""
VIDEO = """
layer { name: "frames" type: "Input" top: "frames" input_param { shape { dim: 8 dim: 3 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 4 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "frames" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "rows" type: "Reshape" bottom: "fc" top: "rows" reshape_param { shape { dim: 4 dim: -1 dim: 5 } } }
layer { name: "rnn" type: "RNN" bottom: "rows" bottom: "cont" top: "rnn" recurrent_param { num_output: 3 } }
"""
FIXED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "fixed" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 2 dim: 6 } } }
"""


def graph_of(text: str) -> Graph:
    return build(parse_net(text))


def test_sequences_lie_behind_their_steps() -> None:
    graph = graph_of(CAPTIONS)
    free = free_axes(graph)
    assert free is not None
    assert [free[name] for name in ("words", "cont", "picture", "seen", "lstm")] == [
        (0, 1, 0),
        (0, 1),
        (1, 0),
        (1, 0),
        (0, 1, 0),
    ]
    assert "Input 'words': 4 x N x 3\nInput 'cont': 4 x N\nInput 'picture': N x 5" in emit(graph)


def test_a_side_may_be_several_times_the_batch() -> None:
    graph = graph_of(VIDEO)
    free = free_axes(graph)
    assert free is not None
    assert (free["frames"], free["cont"], free["rnn"]) == ((4, 0), (0, 1), (0, 1, 0))
    assert "Input 'frames': 4N x 3" in emit(graph)


def test_a_net_may_fix_its_batch() -> None:
    assert free_axes(graph_of(FIXED)) is None


@pytest.mark.parametrize("text", [CAPTIONS, VIDEO])
def test_artefacts_run_with_another_batch(text: str) -> None:
    graph = graph_of(text)
    made = module(graph)
    wide = [value.shape for value in graph.inputs]
    free = free_axes(graph)
    assert free is not None
    shapes = [
        tuple(3 * times or side for side, times in zip(shape, free[value.name], strict=True))
        for shape, value in zip(wide, graph.inputs, strict=True)
    ]
    rng = np.random.default_rng(0)
    fed = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    want = made(*map(torch.from_numpy, fed)).detach().numpy()
    state = {key: made.get_parameter(key).detach().numpy() for key in name_graph(graph).state.values()}
    session = onnxruntime.InferenceSession(emit_onnx.emit(graph, state).SerializeToString())
    (got,) = session.run(None, {value.name: array for value, array in zip(graph.inputs, fed, strict=True)})
    np.testing.assert_allclose(got, want, atol=1e-6)
    port: Any = SimpleNamespace(graph=graph, arrays=lambda: state)
    np.testing.assert_allclose(export(port).module()(*map(torch.from_numpy, fed)).detach().numpy(), want, atol=1e-6)


def test_a_part_of_a_net_has_no_batch_of_its_own() -> None:
    """Widening would build the whole net again, which has other nodes than the part."""
    graph = graph_of(VIDEO)
    part = graph.alone(graph.nodes[2])
    assert free_axes(part) is None
    assert "fc = self.fc(frames)  # 8 x 5" in emit(part)

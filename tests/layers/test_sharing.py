"""Parameters that layers share by name, in equal shapes and (PERMISSIVE) in others of equal counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from caffeport.caffe.net import parse_net
from caffeport.emit import onnx as emit_onnx
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import compile_source, module
from caffeport.errors import Refused
from caffeport.graph import Graph, build

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 4 } } }\n'


def layer(name: str, bottom: str, size: int, params: str) -> str:
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" {params} '
        f"inner_product_param {{ num_output: {size} }} }}\n"
    )


def graph(second: str = "share_mode: PERMISSIVE", first: str = "") -> Graph:
    text = layer("a", "data", 6, f'param {{ name: "w" {first} }}')
    return build(parse_net(INPUT + text + layer("b", "a", 4, f'param {{ name: "w" {second} }} param {{ lr_mult: 2 }}')))


RNG = np.random.default_rng(0)
X, SEED = RNG.standard_normal((2, 4)), RNG.standard_normal((2, 4))
W, A, B = RNG.standard_normal((6, 4)), RNG.standard_normal(6), RNG.standard_normal(4)
STATE = {"a.weight": W, "a.bias": A, "b.weight": W, "b.bias": B}


def as_module(made: Graph) -> nn.Module:
    return module(made, {key: torch.from_numpy(array.copy()) for key, array in STATE.items()})


def as_source(made: Graph) -> nn.Module:
    net = compile_source(emit(made), name_graph(made).cls)()
    net.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in STATE.items()}, assign=True)
    net.tie()  # type: ignore[operator]
    return net


@pytest.mark.parametrize("load", [as_module, as_source])
def test_other_shapes(load: Callable[[Graph], nn.Module]) -> None:
    net = load(graph())
    x = torch.tensor(X, requires_grad=True)
    top = net(x)
    hidden = X @ W.T + A
    np.testing.assert_allclose(top.detach().numpy(), hidden @ W.reshape(4, 6).T + B, rtol=1e-12)
    (top * torch.from_numpy(SEED)).sum().backward()
    back = SEED @ W.reshape(4, 6)
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert set(gradients) == {"a.weight", "a.bias", "b.bias"}, "the shared one counts once"
    want = back.T @ X + (SEED.T @ hidden).reshape(6, 4)
    got = gradients["a.weight"]
    assert got is not None
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), back @ W, rtol=1e-12)


def test_a_step_moves_both() -> None:
    net = as_module(graph())
    torch.optim.SGD(net.parameters(), lr=0.1).step(lambda: net(torch.from_numpy(X)).sum().backward())
    state = net.state_dict()
    assert torch.equal(state["a.weight"], state["b.weight"])
    assert not torch.equal(state["a.weight"], torch.from_numpy(W))


def test_onnx() -> None:
    made = graph()
    model = emit_onnx.emit(made, {key: array.astype(np.float32) for key, array in STATE.items()})
    assert [one.name for one in model.graph.initializer if one.name.endswith("weight")] == ["a.weight"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (top,) = session.run(None, {"data": X.astype(np.float32)})
    np.testing.assert_allclose(top, (X @ W.T + A) @ W.reshape(4, 6).T + B, rtol=1e-4)


@pytest.mark.parametrize("strict", [False, True])
def test_export(strict: bool) -> None:
    net, x = as_module(graph()), torch.from_numpy(X)
    exported = torch.export.export(net, (x,), strict=strict).module()
    assert torch.allclose(exported(x), net(x))


def test_the_emitted_file_loads(tmp_path: Path) -> None:
    made = graph()
    torch.save({key: torch.from_numpy(array) for key, array in STATE.items()}, tmp_path / "state.pt")
    cls: Any = compile_source(emit(made), name_graph(made).cls)
    net = cls.forward.__globals__["load"](tmp_path / "state.pt")
    assert torch.allclose(net(torch.from_numpy(X)), as_module(made)(torch.from_numpy(X)))


@pytest.mark.parametrize(("first", "second"), [("lr_mult: 0", "lr_mult: 0"), ("", "lr_mult: 0"), ("lr_mult: 0", "")])
def test_frozen_by_one_is_frozen(first: str, second: str) -> None:
    net = as_module(graph(f"{second} share_mode: PERMISSIVE", first))
    assert {name for name, one in net.named_parameters() if one.requires_grad} == {"a.bias", "b.bias"}


def test_strict_refuses_other_shapes() -> None:
    with pytest.raises(Refused, match="6x4 there; shapes must be equal, or counts with share_mode: PERMISSIVE"):
        graph("share_mode: STRICT")
    with pytest.raises(Refused, match="4x6"):
        graph("")


def test_permissive_refuses_other_counts() -> None:
    text = layer("a", "data", 6, 'param { name: "w" }') + layer(
        "b", "a", 5, 'param { name: "w" share_mode: PERMISSIVE }'
    )
    with pytest.raises(Refused, match="shares parameter 'w'"):
        build(parse_net(INPUT + text))

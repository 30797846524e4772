"""Training nets: forward gives Caffe's objective, and its backward pass Caffe's gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from caffeport.caffe.net import parse_net
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import compile_source, module
from caffeport.errors import Refused
from caffeport.graph import Graph, build
from caffeport.verify.case import Case, find_cases, open_case
from caffeport.verify.gradients import gradient
from caffeport.verify.overwritten import overwritten

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FOLDERS = [folder for part in ("fuzz", "layers/graph") for folder in find_cases(GOLDEN / part)]
TRAINED = [folder for folder in FOLDERS if folder.name.startswith("train-")]


def tensor_at(port: nn.Module, key: str) -> Tensor:
    owner, _, name = key.rpartition(".")
    found: Tensor = getattr(port.get_submodule(owner), name)
    return found


def gradients(case: Case, graph: Graph, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """What `backward` of the returned loss leaves at inputs and parameters, by the recorded names."""
    state, keys = case.state, name_graph(graph).state
    port = module(graph, {key: torch.from_numpy(np.array(array)) for key, array in state.items()}).to(dtype)
    fed = [torch.tensor(case.inputs[value.blob], dtype=dtype, requires_grad=True) for value in graph.inputs]
    loss, outputs = port(*fed)
    assert list(outputs) == [value.blob for value in graph.outputs]
    weighted = [
        weight * float(np.asarray(case.top(node, k)).sum())
        for node in graph.nodes
        for k, weight in enumerate(node.loss_weights)
        if weight
    ]
    assert loss.item() == pytest.approx(sum(weighted), rel=1e-5)
    loss.backward()
    tensors = {f"dbottom/{value.blob}": tensor for value, tensor in zip(graph.inputs, fed, strict=True)}
    for index, place in case.places.items():
        for k in range(len(graph.nodes[index].params)):
            tensors[f"dparam/{place}/{k}"] = tensor_at(port, keys[index, k])
    return {name: gradient(tensors[name], want.shape) for name, want in case.arrays.items() if name in tensors}


@pytest.mark.parametrize("folder", TRAINED, ids=[folder.name for folder in TRAINED])
def test_backward_of_the_returned_loss_gives_caffes_gradients(folder: Path) -> None:
    case = open_case(folder)
    graph = build(replace(case.graph.net, phase="TRAIN"))
    if overwritten(graph):
        pytest.skip("Caffe's own gradient is not the derivative here: see tests/verify/test_overwritten.py")
    got, exact = (gradients(case, graph, dtype) for dtype in (torch.float32, torch.float64))
    assert len(got) > 2
    for name, mine in got.items():
        want = case.arrays[name]
        # Biases before a BatchNorm have no gradient but rounding.
        allowed = max(1e-4 * np.abs(want).max(), 100 * np.abs(mine - exact[name]).max())
        np.testing.assert_allclose(mine, want, rtol=0, atol=allowed, err_msg=name)


def train(text: str) -> Graph:
    return build(parse_net(text, phase="TRAIN"))


DATA = 'layer { name: "in" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } } }\n'


def test_a_loss_without_a_top_counts() -> None:
    graph = train(DATA + 'layer { name: "t" type: "EuclideanLoss" bottom: "x" bottom: "t" }')
    x, t = torch.randn(2, 3), torch.randn(2, 3)
    loss, outputs = module(graph)(x, t)
    assert loss.item() == pytest.approx(float((x - t).square().sum() / 4))
    # 't' is a blob already, so the loss takes a name beside it.
    assert list(outputs) == ["t'"]
    assert graph.net.layers[1].tops == ("t'",)
    assert build(graph.net).net == graph.net


def test_a_weighted_top_counts_before_a_layer_overwrites_it() -> None:
    text = """
    layer { name: "p" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } loss_weight: 0.5 }
    layer { name: "r" type: "ReLU" bottom: "y" top: "y" loss_weight: 0.25 }
    layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" loss_weight: 3 }
    """
    graph = train(DATA + text)
    x, t = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    wanted = (2 * x).sum() / 2 + (2 * x).relu().sum() / 4 + 3 * ((2 * x).relu() - t).square().sum() / 4
    for port in (module(graph), compile_source(emit(graph), name_graph(graph).cls)()):
        loss, outputs = port(x, t)
        assert list(outputs) == ["loss"]
        torch.testing.assert_close(loss, wanted)
        torch.testing.assert_close(*(torch.autograd.grad(one, x, retain_graph=True)[0] for one in (loss, wanted)))


def test_only_overwritten_tops_may_be_weighted() -> None:
    text = """
    layer { name: "p" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } loss_weight: 0.5 }
    layer { name: "q" type: "Power" bottom: "y" top: "y" power_param { scale: 3 } loss_weight: 2 }
    layer { name: "r" type: "ReLU" bottom: "y" top: "y" }
    """
    x = torch.randn(2, 3)
    loss, _ = module(train(DATA + text))(x, x)
    torch.testing.assert_close(loss, x.sum() + 12 * x.sum())


def test_a_loss_weight_of_zero_takes_the_loss_out() -> None:
    losses = """
    layer { name: "a" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "a" loss_weight: 0 }
    layer { name: "b" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "b" loss_weight: -2 }
    """
    x, t = torch.randn(2, 3), torch.randn(2, 3)
    loss, outputs = module(train(DATA + losses))(x, t)
    torch.testing.assert_close(loss, -2 * outputs["a"])
    assert list(outputs) == ["a", "b"]


def test_a_second_top_can_be_weighted_but_sends_nothing_back() -> None:
    text = """
    layer { name: "in" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
    layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "l" top: "p" loss_weight: 1 loss_weight: 5 }
    """
    x, t = torch.randn(2, 3, requires_grad=True), torch.tensor([0.0, 2.0])
    loss, outputs = module(train(text))(x, t)
    torch.testing.assert_close(loss, outputs["l"] + 5 * outputs["p"].sum())
    got, alone = (torch.autograd.grad(one, x, retain_graph=True)[0] for one in (loss, outputs["l"]))
    torch.testing.assert_close(got, alone, rtol=0, atol=0)


def test_the_test_phase_gives_the_losses_themselves() -> None:
    text = 'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "l" loss_weight: 3 }'
    x, t = torch.randn(2, 3), torch.randn(2, 3)
    top = module(build(parse_net(DATA + text)))(x, t)
    torch.testing.assert_close(top, (x - t).square().sum() / 4)


LEARNED = """
layer { name: "one" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 }
        param { lr_mult: 0 } param { lr_mult: 2 } }
layer { name: "two" type: "InnerProduct" bottom: "y" top: "z" inner_product_param { num_output: 3 } %s }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "t" top: "loss" }
"""


def test_lr_mult_zero_freezes_one_parameter() -> None:
    graph = train(DATA + LEARNED % "")
    state = {key: value.detach() for key, value in module(graph).state_dict().items()}
    for port in (module(graph), module(graph, state)):
        loss, _ = port(torch.randn(2, 3), torch.randn(2, 3))
        loss.backward()
        learned = {name for name, parameter in port.named_parameters() if parameter.grad is not None}
        assert learned == {"one.bias", "two.weight", "two.bias"}


def test_propagate_down_false_stops_the_gradient() -> None:
    port = module(train(DATA + LEARNED % "propagate_down: false"))
    loss, _ = port(torch.randn(2, 3), torch.randn(2, 3))
    loss.backward()
    assert {name for name, parameter in port.named_parameters() if parameter.grad is not None} == {
        "two.weight",
        "two.bias",
    }


def test_propagate_down_is_given_for_every_bottom() -> None:
    text = 'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "l" propagate_down: true }'
    with pytest.raises(Refused, match="propagate_down is given 1 times for 2 bottoms; once per bottom, or never"):
        train(DATA + text)


def test_dropout_is_drawn_in_training_and_passes_in_test() -> None:
    text = DATA + 'layer { name: "d" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.75 } }'
    x = torch.ones(2, 3)
    y = module(train(text))(x, x)
    assert set(y.unique().tolist()) <= {0.0, 4.0}
    torch.testing.assert_close(module(build(parse_net(text)))(x, x), x)


EXPORTED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "h" type: "Input" top: "h" input_param { shape { dim: 4 dim: 4 } } }
layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "l" loss_param { ignore_label: 1 } }
layer { name: "f" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "f" loss_param { normalization: FULL } }
layer { name: "i" type: "InfogainLoss" bottom: "x" bottom: "t" bottom: "h" top: "i" }
layer { name: "a" type: "Accuracy" bottom: "x" bottom: "t" top: "a" top: "b" accuracy_param { ignore_label: 1 } }
layer { name: "s" type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "x" top: "s" }
layer { name: "e" type: "EuclideanLoss" bottom: "x" bottom: "x" top: "e" }
"""


def test_training_nets_export_with_a_free_batch() -> None:
    port = module(train(EXPORTED))
    matrix, batch = torch.rand(4, 4), torch.export.Dim("N")
    first = torch.rand(2, 4, 3), torch.randint(0, 4, (2, 3)).float(), matrix
    exported = torch.export.export(port, first, dynamic_shapes=({0: batch}, {0: batch}, None)).module()
    other = torch.rand(5, 4, 3), torch.randint(0, 4, (5, 3)).float(), matrix
    torch.testing.assert_close(exported(*other), port(*other), rtol=0, atol=0)

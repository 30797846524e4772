"""Layers without bottoms or without tops: DummyData's fillers, Parameter, Silence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from caffeport.errors import Refused, Unportable

from .single import Single, check, graph_of

Array = np.ndarray


def dummy(settings: str, tops: int = 1) -> Single:
    return Single(f'type: "DummyData" dummy_data_param {{ {settings} }}', tops=tops)


def test_constants() -> None:
    one = dummy(
        "shape { dim: 2 dim: 3 } shape { dim: 4 } data_filler { value: 1.5 } data_filler { value: -3 }",
        2,
    )
    one.agrees(np.full((2, 3), 1.5), np.full(4, -3.0))


def test_zero_without_a_filler_and_one_shape_for_all() -> None:
    dummy("shape { dim: 2 }", 2).agrees(np.zeros(2), np.zeros(2))


def test_legacy_sides() -> None:
    one = dummy("num: 2 channels: 3 num: 4 height: 1 width: 5 data_filler { value: 2 }", 2)
    one.agrees(np.full((2, 3, 1, 5), 2.0), np.full((4, 3, 1, 5), 2.0))


def test_bilinear() -> None:
    row = np.array([0.25, 0.75, 0.75, 0.25])
    want = np.broadcast_to(np.outer(row, row), (2, 1, 4, 4))
    check(dummy("shape { dim: 2 dim: 1 dim: 4 dim: 4 } data_filler { type: 'bilinear' }").torch(), [want], 1e-12)


#: Filler for 200 x 50 numbers, and what a draw must look like.
RANDOM: dict[str, tuple[str, Callable[[Array], bool]]] = {
    "uniform": ("type: 'uniform' min: 2 max: 5", lambda x: 2 <= x.min() < 2.05 and 4.95 < x.max() <= 5),
    "gaussian": ("type: 'gaussian' mean: 3 std: 0.5", lambda x: abs(x.mean() - 3) < 0.03 and abs(x.std() - 0.5) < 0.02),
    "sparse": ("type: 'gaussian' sparse: 20", lambda x: abs(np.mean(x != 0) - 0.1) < 0.02),
    "xavier": ("type: 'xavier'", lambda x: 0.99 < x.max() / np.sqrt(3 / 50) <= 1 and x.min() < 0),
    "xavier out": ("type: 'xavier' variance_norm: FAN_OUT", lambda x: 0.99 < x.max() / np.sqrt(3 / 200) <= 1),
    "msra": ("type: 'msra' variance_norm: AVERAGE", lambda x: abs(x.std() / np.sqrt(2 / 125) - 1) < 0.03),
    "unit ball": ("type: 'positive_unitball'", lambda x: x.min() > 0 and np.allclose(x.sum(1), 1)),
}


@pytest.mark.parametrize("name", RANDOM)
def test_drawn_anew_at_every_pass(name: str) -> None:
    filler, holds = RANDOM[name]
    one = dummy(f"shape {{ dim: 200 dim: 50 }} data_filler {{ {filler} }}")
    module = one.module()
    torch.manual_seed(0)
    first, second = module(), module()
    assert holds(first.numpy())
    assert holds(second.numpy())
    assert not torch.equal(first, second)
    with pytest.raises(Unportable, match="drawn anew"):
        one.onnx()


def test_data_follow_the_module() -> None:
    module = dummy("shape { dim: 2 }").module()
    assert module.double()().dtype == torch.float64
    assert module.half()().dtype == torch.float16
    assert not module.state_dict()


def test_parameter() -> None:
    one = Single('type: "Parameter" parameter_param { shape { dim: 2 dim: 3 } }')
    one.agrees(one.params[0])
    module = one.module()
    (module() * torch.arange(6.0).view(2, 3)).sum().backward()
    (parameter,) = module.parameters()
    assert parameter.grad is not None
    assert parameter.grad.flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_silence_takes_its_bottoms_from_the_outputs() -> None:
    graph = graph_of('type: "Silence"', (2, 3), (4,), tops=0)
    assert not graph.outputs


REFUSED = {
    "type is 'noise'|type: is 'noise'": "shape { dim: 2 } data_filler { type: 'noise' }",
    "four axes": "shape { dim: 2 dim: 2 } data_filler { type: 'bilinear' }",
    "beside num": "shape { dim: 2 } num: 2",
    "num.*given 0 times|shape.*given": "channels: 3 height: 1 width: 5",
    "sides of 1 or more": "shape { dim: 2 dim: 0 }",
    "once, or once per top": "shape { dim: 2 } shape { dim: 2 }",
    "none, one, or one per top": "shape { dim: 2 } data_filler { value: 1 } data_filler { value: 1 }",
}


@pytest.mark.parametrize("says", REFUSED)
def test_refuses(says: str) -> None:
    with pytest.raises(Refused, match=says):
        dummy(REFUSED[says])

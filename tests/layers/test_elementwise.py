"""Layers that compute number by number, away from their defaults, beside their formulas; and what Caffe refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from caffeport.errors import CaffeportError, Refused

from .single import Single, check, graph_of

Array = np.ndarray

CASES: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "AbsVal": ('type: "AbsVal"', np.abs),
    "BNLL": ('type: "BNLL"', lambda x: np.log1p(np.exp(x))),
    "Clip": ('type: "Clip" clip_param { min: -0.5 max: 0.75 }', lambda x: np.clip(x, -0.5, 0.75)),
    "Clip, bounds swapped": ('type: "Clip" clip_param { min: 0.5 max: -0.5 }', lambda x: np.full_like(x, 0.5)),
    "ELU": ('type: "ELU" elu_param { alpha: 0.3 }', lambda x: np.where(x > 0, x, 0.3 * np.expm1(x))),
    "Exp": ('type: "Exp" exp_param { base: 3 scale: 0.5 shift: -0.2 }', lambda x: 3 ** (0.5 * x - 0.2)),
    "Exp, natural": ('type: "Exp" exp_param { scale: 2 shift: 0.1 }', lambda x: np.exp(2 * x + 0.1)),
    "Exp, small base": ('type: "Exp" exp_param { base: 0.25 }', lambda x: 0.25**x),
    "Log": (
        'type: "Log" log_param { base: 2 scale: 0.1 shift: 3 }',
        lambda x: np.log2(0.1 * x + 3),
    ),
    "Log, natural": ('type: "Log" log_param { shift: 5 }', lambda x: np.log(x + 5)),
    "Power": ('type: "Power" power_param { power: 1.5 scale: 0.2 shift: 2 }', lambda x: (0.2 * x + 2) ** 1.5),
    "Power, cube": ('type: "Power" power_param { power: 3 }', lambda x: x**3),
    "Power, linear": ('type: "Power" power_param { scale: -2 shift: 1 }', lambda x: 1 - 2 * x),
    "Power, scale 0": ('type: "Power" power_param { power: 2 scale: 0 shift: 3 }', lambda x: np.full_like(x, 9)),
    "Power, power 0": ('type: "Power" power_param { power: 0 shift: -3 }', np.ones_like),
    "Power, unchanged": ('type: "Power"', lambda x: x),
    "ReLU": ('type: "ReLU" relu_param { negative_slope: -0.3 engine: CUDNN }', lambda x: np.where(x > 0, x, -0.3 * x)),
    "Sigmoid": ('type: "Sigmoid" sigmoid_param { engine: CAFFE }', lambda x: 1 / (1 + np.exp(-x))),
    "Swish": ('type: "Swish" swish_param { beta: 1.7 }', lambda x: x / (1 + np.exp(-1.7 * x))),
    "TanH": ('type: "TanH" tanh_param { engine: CAFFE }', np.tanh),
    "Threshold": ('type: "Threshold" threshold_param { threshold: 0.4 }', lambda x: (x > 0.4).astype(float)),
    "Dropout": ('type: "Dropout" dropout_param { dropout_ratio: 0.3 }', lambda x: x),
    "Dropout, Fast R-CNN's": (
        'type: "Dropout" dropout_param { dropout_ratio: 0.3 scale_train: false }',
        lambda x: 0.7 * x,
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7,)])
def test_formula(name: str, shape: tuple[int, ...]) -> None:
    layer, formula = CASES[name]
    one = Single(layer, shape)
    one.agrees(formula(one.bottoms[0]))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 3), (2, 3, 1, 2, 3)])
def test_prelu(shape: tuple[int, ...], shared: bool) -> None:
    one = Single(f'type: "PReLU" prelu_param {{ channel_shared: {str(shared).lower()} }}', shape)
    assert one.params[0].shape == (() if shared else (3,))
    slope = one.params[0] if shared else one.params[0].reshape(-1, *[1] * (len(shape) - 2))
    x = one.bottoms[0]
    one.agrees(np.where(x > 0, x, slope * x))


#: Layer, a place, and the derivative that Caffe's backward pass gives there.
CORNERS = {
    "AbsVal": ('type: "AbsVal"', 0.0, 0.0),
    "ReLU": ('type: "ReLU"', 0.0, 0.0),
    "ReLU, leaky": ('type: "ReLU" relu_param { negative_slope: 0.1 }', 0.0, 0.1),
    "ELU": ('type: "ELU" elu_param { alpha: 0.3 }', 0.0, 0.3),
    "Clip, at min": ('type: "Clip" clip_param { min: -1 max: 1 }', -1.0, 1.0),
    "Clip, at max": ('type: "Clip" clip_param { min: -1 max: 1 }', 1.0, 1.0),
    "Clip, below": ('type: "Clip" clip_param { min: -1 max: 1 }', -1.5, 0.0),
    "BNLL, far": ('type: "BNLL"', 60.0, 1.0),
}


@pytest.mark.parametrize("name", CORNERS)
def test_derivative_at_corners(name: str) -> None:
    layer, place, want = CORNERS[name]
    x = torch.full((1, 1), place, dtype=torch.float64, requires_grad=True)
    Single(layer, (1, 1)).module()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(want)


@pytest.mark.parametrize("layer", ['type: "Threshold"', 'type: "Power" power_param { scale: 0 }', 'type: "ArgMax"'])
def test_has_no_gradient(layer: str) -> None:
    x = torch.ones((2, 3), dtype=torch.float64, requires_grad=True)
    assert not Single(layer, (2, 3)).module()(x).requires_grad


@pytest.mark.parametrize("scale_train", [True, False])
def test_dropout_in_training(scale_train: bool) -> None:
    settings = f"dropout_ratio: 0.25 scale_train: {str(scale_train).lower()}"
    one = Single(f'type: "Dropout" dropout_param {{ {settings} }}', (100, 100), phase="TRAIN")
    torch.manual_seed(0)
    (top,) = one.torch(np.ones((100, 100)))
    assert np.unique(top) == pytest.approx([0.0, 1 / 0.75 if scale_train else 1.0])
    assert np.mean(top == 0) == pytest.approx(0.25, abs=0.02)


def test_segnets_dropout_goes_on_in_evaluation() -> None:
    one = Single('type: "Dropout" dropout_param { dropout_ratio: 0.25 sample_weights_test: true }', (100, 100))
    for standalone in (False, True):
        torch.manual_seed(0)
        made = one.module(standalone=standalone)
        assert not made.training
        x = torch.ones(100, 100, dtype=torch.float64, requires_grad=True)
        top = made(x)
        assert np.unique(top.detach().numpy()) == pytest.approx([0.0, 1 / 0.75])
        assert np.mean(top.detach().numpy() == 0) == pytest.approx(0.25, abs=0.02)
        assert not torch.equal(top, made(x)), "every pass draws anew"
        (gradient,) = torch.autograd.grad(top.sum(), x)
        assert torch.equal(gradient, top), "the gradient goes where the numbers went"
    with pytest.raises(CaffeportError, match="no two runs agree"):
        one.onnx()


def test_dropout_of_nothing() -> None:
    one = Single('type: "Dropout" dropout_param { dropout_ratio: 0 }', (3, 4), phase="TRAIN")
    check(one.torch(), one.bottoms, 0)


REFUSED = {
    "base is -2": 'type: "Exp" exp_param { base: -2 }',
    "base is 0": 'type: "Exp" exp_param { base: 0 }',
    "base is 1": 'type: "Log" log_param { base: 1 }',
    "min": 'type: "Clip" clip_param { max: 1 }',
    "no number": 'type: "Power" power_param { power: -1 scale: 0 }',
    "each is of another fork": 'type: "Dropout" dropout_param { scale_train: false sample_weights_test: true }',
    "beyond any float": 'type: "Power" power_param { power: 1e30 scale: 0 shift: 1e30 }',
    "dropout_ratio is 1": 'type: "Dropout" dropout_param { dropout_ratio: 1 }',
    "slope": 'type: "ReLU" relu_param { slope: 0.1 }',
}


@pytest.mark.parametrize("says", REFUSED)
def test_refuses(says: str) -> None:
    with pytest.raises(Refused, match=says):
        graph_of(REFUSED[says], (2, 3))


def test_prelu_wants_channels() -> None:
    with pytest.raises(Refused, match="two axes"):
        graph_of('type: "PReLU"', (3,))

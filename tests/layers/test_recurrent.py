"""LSTM, RNN and LSTMUnit beside their equations, written out step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from caffeport.errors import Refused

from .single import Single, check, graph_of

T, N, H = 4, 3, 5

#: Fields, bottoms and tops behind the type.
CASES = {
    "plain": ("", [(T, N, 2), (T, N)]),
    "several axes": ("", [(T, N, 2, 3), (T, N)]),
    "static": ("", [(T, N, 2), (T, N), (N, 2, 3)]),
    "exposed": ("expose_hidden: true", [(T, N, 2), (T, N)]),
    "exposed and static": ("expose_hidden: true", [(T, N, 2), (T, N), (N, 4)]),
    "one step": ("", [(1, N, 2), (1, N)]),
}


def sigmoid(x: np.ndarray) -> np.ndarray:
    made: np.ndarray = 1 / (1 + np.exp(-x))
    return made


def layer(kind: str, name: str, seed: int = 0) -> Single:
    fields, shapes = CASES[name]
    states = {"LSTM": 2, "RNN": 1}[kind] * ("expose" in fields)
    text = f'type: "{kind}" recurrent_param {{ num_output: {H} {fields} }}'
    one = Single(text, *shapes, *[(1, N, H)] * states, tops=1 + states, seed=seed)
    one.bottoms[1] = np.random.default_rng(seed).integers(0, 2, shapes[1]).astype(float)
    return one


def terms(one: Single, static: bool) -> np.ndarray:
    x = one.bottoms[0]
    made: np.ndarray = x.reshape(*x.shape[:2], -1) @ one.params[0].T + one.params[1]
    return made + one.bottoms[2].reshape(N, -1) @ one.params[2].T if static else made


def lstm(one: Single, static: bool, hidden: np.ndarray, cell: np.ndarray) -> list[np.ndarray]:
    tops = []
    for term, cont in zip(terms(one, static), one.bottoms[1][..., None], strict=True):
        i, f, o, g = np.split(term + (cont * hidden) @ one.params[-1].T, 4, axis=1)
        cell = cont * sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        tops.append(hidden)
    return [np.stack(tops), hidden[None], cell[None]]


def rnn(one: Single, static: bool, hidden: np.ndarray) -> list[np.ndarray]:
    tops = []
    recurrent, out, bias = one.params[-3:]
    for term, cont in zip(terms(one, static), one.bottoms[1][..., None], strict=True):
        hidden = np.tanh(term + (cont * hidden) @ recurrent.T)
        tops.append(np.tanh(hidden @ out.T + bias))
    return [np.stack(tops), hidden[None]]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("kind", "steps"), [("LSTM", lstm), ("RNN", rnn)])
def test_every_wiring(kind: str, steps: Callable[..., list[np.ndarray]], name: str) -> None:
    one, states = layer(kind, name), {"LSTM": 2, "RNN": 1}[kind]
    exposed = "exposed" in name
    begin = [state[0] for state in one.bottoms[-states:]] if exposed else [np.zeros((N, H))] * states
    want = steps(one, "static" in name, *begin)
    one.agrees(*(want if exposed else want[:1]))


def test_one_step_alone() -> None:
    one = Single('type: "LSTMUnit"', (1, N, H), (1, N, 4 * H), (1, N), tops=2)
    one.bottoms[2] = np.array([[1.0, 0.0, 1.0]])
    i, f, o, g = np.split(one.bottoms[1], 4, axis=2)
    cell = one.bottoms[2][..., None] * sigmoid(f) * one.bottoms[0] + sigmoid(i) * np.tanh(g)
    one.agrees(cell, sigmoid(o) * np.tanh(cell))


def test_no_gradient_through_indicators_and_exposed_states() -> None:
    one = layer("LSTM", "exposed")
    bottoms = [torch.from_numpy(array).requires_grad_() for array in one.bottoms]
    tops = one.module()(*bottoms)
    assert [top.requires_grad for top in tops.values()] == [True, False, False]
    tops["out0"].sum().backward()
    assert [bottom.grad is not None for bottom in bottoms] == [True, False, False, False]


def test_carrying_the_state_from_call_to_call() -> None:
    """Two calls of half the steps give what one call of all of them gives, as in Caffe."""
    whole = layer("LSTM", "plain")
    half = Single(f'type: "LSTM" recurrent_param {{ num_output: {H} }}', (T // 2, N, 2), (T // 2, N))
    half.params = whole.params
    whole.bottoms[1][2] = 1
    made = half.module()
    (want,) = whole.torch()
    pieces = [[torch.from_numpy(array[k : k + 2]) for array in whole.bottoms] for k in (0, 2)]
    with torch.no_grad():
        forgetting = torch.cat([made(*piece) for piece in pieces]).numpy()
        made.one.carry = True  # type: ignore[union-attr]
        carrying = torch.cat([made(*piece) for piece in pieces]).numpy()
    check([carrying], [want], 1e-12)
    assert np.abs(forgetting - want).max() > 1e-3


def test_another_number_of_steps_is_refused() -> None:
    one = layer("LSTM", "plain")
    with pytest.raises(ValueError, match="2 steps are given to a layer of 4"):
        one.torch(*(array[:2] for array in one.bottoms))


@pytest.mark.parametrize("name", ["plain", "exposed and static"])
@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_streams_are_free(kind: str, name: str) -> None:
    """Exported once, run with another number of streams."""
    one = layer(kind, name)
    made = one.module()
    bottoms = tuple(torch.from_numpy(array) for array in one.bottoms)
    streams = torch.export.Dim("streams", min=1)
    free = tuple({0: streams} if k == 2 and "static" in name else {1: streams} for k in range(len(bottoms)))
    exported = torch.export.export(made, bottoms, dynamic_shapes=free).module()
    more = [torch.cat([x, x], 0 if 0 in axes else 1) for x, axes in zip(bottoms, free, strict=True)]
    assert_same(exported(*more), made(*more))


def assert_same(mine: object, theirs: object) -> None:
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled(backend: str) -> None:
    one = layer("LSTM", "static")
    made: nn.Module = one.module().float()
    bottoms = [torch.from_numpy(array).float() for array in one.bottoms]
    compiled = torch.compile(made, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(*bottoms), made(*bottoms))


@pytest.mark.parametrize(
    ("text", "shapes", "tops", "message"),
    [
        ('"LSTM" recurrent_param { num_output: 5 }', [(T, N, 2), (T, 2)], 1, "bottom 1 is 4x2 with bottom 0 4x3x2"),
        ('"LSTM" recurrent_param { num_output: 5 }', [(T, N, 2), (T, N), (4, 2)], 1, "the static input is 4 with"),
        ('"LSTM" recurrent_param { num_output: 5 }', [(T, N, 2), (T, N), (N,)], 1, "Caffe wants streams x inputs"),
        ('"LSTM" recurrent_param { num_output: 0 }', [(T, N, 2), (T, N)], 1, "num_output is 0"),
        ('"LSTM" recurrent_param { num_output: 5 }', [(T, N, 2), (T, N)], 3, "expose_hidden is false with 3 tops"),
        ('"RNN" recurrent_param { num_output: 5 }', [(T, N, 2), (T, N), (N, 2), (1, N, 5)], 1, "with 4 bottoms"),
        (
            '"RNN" recurrent_param { num_output: 5 expose_hidden: true }',
            [(T, N, 2), (T, N), (1, N, 4)],
            2,
            "a hidden state is 1x3x4 with bottom 0 4x3x2; Caffe wants 1x3x5",
        ),
        ('"RNN" recurrent_param { num_output: 5 }', [(T, N), (T, N)], 1, "bottom 0 is 4x3; Caffe wants steps"),
        ('"LSTMUnit"', [(2, N, H), (2, N, 4 * H), (2, N)], 2, "Caffe wants one step"),
        (
            '"LSTMUnit"',
            [(1, N, H), (1, N, 3 * H), (1, N)],
            2,
            "bottom 1 is 1x3x15 with cells 1x3x5; Caffe wants 1x3x20",
        ),
    ],
)
def test_refusals(text: str, shapes: list[tuple[int, ...]], tops: int, message: str) -> None:
    with pytest.raises(Refused) as caught:
        graph_of(f"type: {text}", *shapes, tops=tops)
    assert message in str(caught.value)

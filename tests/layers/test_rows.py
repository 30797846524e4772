"""Layers whose data pick rows: Embed, BatchReindex, Filter; forward, backward, and whatever the data are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffeport.errors import Refused

from .single import Shape, Single, check, graph_of

EMBED = 'type: "Embed" embed_param { input_dim: 7 num_output: 3 }'


@pytest.mark.parametrize("bias", [True, False])
def test_embed(bias: bool) -> None:
    one = Single(EMBED if bias else EMBED.replace("num_output", "bias_term: false num_output"), (2, 4))
    one.bottoms = [np.array([[0.0, 6, 3, 3], [5, 1, 3, 0]])]
    one.agrees(one.params[0][one.bottoms[0].astype(int)] + (one.params[1] if bias else 0))


def test_embed_gradients() -> None:
    one = Single(EMBED, (2, 4))
    places, seed = np.array([[0, 6, 3, 3], [5, 1, 3, 0]]), np.random.default_rng(1).standard_normal((2, 4, 3))
    module = one.module()
    (module(torch.from_numpy(places.astype(float))) * torch.from_numpy(seed)).sum().backward()
    weight, bias = (parameter.grad for parameter in module.parameters())
    want = np.zeros((7, 3))
    np.add.at(want, places, seed)
    assert weight is not None
    assert bias is not None
    check([weight.numpy(), bias.numpy()], [want, seed.sum((0, 1))], 1e-12)


def test_batch_reindex() -> None:
    one = Single('type: "BatchReindex"', (4, 3, 2), (6,))
    places = np.array([3, 0, 0, 2, 3, 1])
    one.bottoms[1] = places.astype(float)
    one.agrees(one.bottoms[0][places])
    x = torch.tensor(one.bottoms[0], requires_grad=True)
    seed = np.random.default_rng(1).standard_normal((6, 3, 2))
    (one.module()(x, torch.from_numpy(one.bottoms[1])) * torch.from_numpy(seed)).sum().backward()
    want = np.zeros((4, 3, 2))
    np.add.at(want, places, seed)
    assert x.grad is not None
    check([x.grad.numpy()], [want], 1e-12)


@pytest.mark.parametrize("chosen", [[1, 0, 0.5, -2, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
def test_filter(chosen: list[float]) -> None:
    selector = np.array(chosen).reshape(5, 1, 1)
    for shapes, tops in (([(5, 3, 2)], 1), ([(5, 3, 2), (5,)], 2)):
        one = Single('type: "Filter"', *shapes, (5, 1, 1), tops=tops)
        one.bottoms[-1] = selector
        kept = selector.ravel() != 0
        one.agrees(*(x[kept] for x in one.bottoms[:-1]))


def test_filter_gradient() -> None:
    module = Single('type: "Filter"', (3, 2), (3,)).module()
    x = torch.ones((3, 2), dtype=torch.float64, requires_grad=True)
    module(x, torch.tensor([2.0, 0.0, 1.0], dtype=torch.float64)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1, 1], [0, 0], [1, 1]]


REFUSED: dict[str, tuple[str, list[Shape], int]] = {
    "one axis": ('type: "BatchReindex"', [(4, 3), (2, 1)], 1),
    "one top for each": ('type: "Filter"', [(4, 3), (4, 2), (4,)], 1),
    "one number per item": ('type: "Filter"', [(4, 3), (4, 2)], 1),
    "as many items": ('type: "Filter"', [(3, 3), (4,)], 1),
    "input_dim": ('type: "Embed" embed_param { num_output: 2 }', [(4,)], 1),
}


@pytest.mark.parametrize("says", REFUSED)
def test_refuses(says: str) -> None:
    layer, shapes, tops = REFUSED[says]
    with pytest.raises(Refused, match=says):
        graph_of(layer, *shapes, tops=tops)

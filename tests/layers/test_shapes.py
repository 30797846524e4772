"""Layers that move, cut, repeat or reduce, beside numpy; and what Caffe would refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from caffeport.caffe.net import parse_net
from caffeport.errors import Refused
from caffeport.graph import build

from .single import Shape, Single, check, graph_of

Array = np.ndarray

#: Layer, the bottoms' shapes, how many tops, and the tops from the bottoms.
CASES: dict[str, tuple[str, list[Shape], int, Callable[..., list[Array]]]] = {
    "ArgMax": (
        'type: "ArgMax" argmax_param { top_k: 3 axis: -2 }',
        [(2, 3, 5, 4)],
        1,
        lambda x: [np.flip(np.argsort(x, 2), 2)[:, :, :3].astype(float)],
    ),
    "ArgMax, values": (
        'type: "ArgMax" argmax_param { top_k: 2 axis: 1 out_max_val: true }',
        [(2, 5)],
        1,
        lambda x: [np.flip(np.sort(x, 1), 1)[:, :2]],
    ),
    "ArgMax, whole items": (
        'type: "ArgMax" argmax_param { top_k: 2 out_max_val: true }',
        [(2, 3, 4, 2, 2)],
        1,
        lambda x: [best(x, 2).reshape(2, 2, 2, 1, 1)],
    ),
    "ArgMax, one axis": ('type: "ArgMax"', [(4,)], 1, lambda x: [np.zeros((4, 1, 1))]),
    "Concat, one bottom": ('type: "Concat"', [(2, 3)], 1, lambda x: [x]),
    "Concat, axis -1": (
        'type: "Concat" concat_param { axis: -1 }',
        [(2, 3, 4), (2, 3, 1), (2, 3, 2)],
        1,
        lambda *x: [np.concatenate(x, 2)],
    ),
    "Concat, batches": (
        'type: "Concat" concat_param { concat_dim: 0 }',
        [(2, 3), (4, 3)],
        1,
        lambda *x: [np.concatenate(x, 0)],
    ),
    "Crop, batches": (
        'type: "Crop" crop_param { axis: 0 offset: 1 offset: 0 offset: 2 }',
        [(4, 3, 5), (2, 3, 2)],
        1,
        lambda x, _: [x[1:3, :, 2:4]],
    ),
    "Eltwise, product": (
        'type: "Eltwise" eltwise_param { operation: PROD stable_prod_grad: false }',
        [(2, 3)] * 4,
        1,
        lambda a, b, c, d: [a * b * c * d],
    ),
    "Eltwise, sum": (
        'type: "Eltwise" eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }',
        [(2, 3)] * 3,
        1,
        lambda a, b, c: [a - 2 * b + 0.5 * c],
    ),
    "Eltwise, maximum": (
        'type: "Eltwise" eltwise_param { operation: MAX }',
        [(2, 3)] * 3,
        1,
        lambda *x: [np.maximum.reduce(x)],
    ),
    "Flatten, middle": (
        'type: "Flatten" flatten_param { axis: 1 end_axis: -2 }',
        [(2, 3, 4, 5)],
        1,
        lambda x: [x.reshape(2, 12, 5)],
    ),
    "Flatten, front": (
        'type: "Flatten" flatten_param { axis: 0 end_axis: 1 }',
        [(2, 3, 4)],
        1,
        lambda x: [x.reshape(6, 4)],
    ),
    "MVN": (
        'type: "MVN" mvn_param { eps: 0.1 }',
        [(2, 3, 4, 5)],
        1,
        lambda x: [normal(x, (2, 3), 0.1)],
    ),
    "MVN, across": (
        'type: "MVN" mvn_param { across_channels: true }',
        [(2, 3, 4)],
        1,
        lambda x: [normal(x, (1, 2), 1e-9)],
    ),
    "MVN, mean only": (
        'type: "MVN" mvn_param { normalize_variance: false across_channels: true }',
        [(2, 3)],
        1,
        lambda x: [x - x.mean(1, keepdims=True)],
    ),
    "MVN, single numbers": ('type: "MVN"', [(2, 3)], 1, lambda x: [np.zeros_like(x)]),
    "Reduction": (
        'type: "Reduction" reduction_param { operation: MEAN axis: 2 coeff: -3 }',
        [(2, 3, 4, 5)],
        1,
        lambda x: [-3 * x.mean((2, 3))],
    ),
    "Reduction, of all": (
        'type: "Reduction" reduction_param { operation: SUMSQ coeff: 0.5 }',
        [(2, 3)],
        1,
        lambda x: [0.5 * np.asarray((x**2).sum())],
    ),
    "Reshape, to one axis": ('type: "Reshape" reshape_param { shape { dim: -1 } }', [(2, 3)], 1, lambda x: [x.ravel()]),
    "Reshape, new axes in front": (
        'type: "Reshape" reshape_param { shape { dim: 1 dim: 1 } num_axes: 0 }',
        [(2, 3)],
        1,
        lambda x: [x[None, None]],
    ),
    "Reshape, no axes": ('type: "Reshape"', [(1, 1)], 1, lambda x: [x.reshape(())]),
    "Reshape, in the middle": (
        'type: "Reshape" reshape_param { shape { dim: -1 dim: 2 } axis: 1 num_axes: 2 }',
        [(3, 4, 5, 7)],
        1,
        lambda x: [x.reshape(3, 10, 2, 7)],
    ),
    "Slice": (
        'type: "Slice" slice_param { axis: -1 slice_point: 1 slice_point: 4 }',
        [(2, 6)],
        3,
        lambda x: [x[:, :1], x[:, 1:4], x[:, 4:]],
    ),
    "Slice, one top": ('type: "Slice" slice_param { axis: 2 }', [(2, 3, 4)], 1, lambda x: [x]),
    "Slice, batches": (
        'type: "Slice" slice_param { slice_dim: 0 slice_point: 1 }',
        [(3, 2)],
        2,
        lambda x: [x[:1], x[1:]],
    ),
    "Softmax": (
        'type: "Softmax" softmax_param { axis: -1 engine: CAFFE }',
        [(2, 3, 4)],
        1,
        lambda x: [np.exp(x) / np.exp(x).sum(2, keepdims=True)],
    ),
    "Split, one top": ('type: "Split"', [(2, 3)], 1, lambda x: [x]),
    "Split": ('type: "Split"', [(2, 3)], 3, lambda x: [x, x, x]),
    "Tile": ('type: "Tile" tile_param { axis: -2 tiles: 3 }', [(2, 3, 4)], 1, lambda x: [np.tile(x, (1, 3, 1))]),
    "Tile, batches": ('type: "Tile" tile_param { axis: 0 tiles: 2 }', [(2, 3)], 1, lambda x: [np.tile(x, (2, 1))]),
}


def best(x: Array, k: int) -> Array:
    rows = x.reshape(len(x), -1)
    places = np.flip(np.argsort(rows, 1), 1)[:, :k]
    return np.stack([places.astype(float), np.take_along_axis(rows, places, 1)], 1)


def normal(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    return np.asarray((x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + eps))


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_numpy(name: str) -> None:
    layer, shapes, tops, formula = CASES[name]
    one = Single(layer, *shapes, tops=tops)
    one.agrees(*formula(*one.bottoms))


def test_argmax_takes_the_last_of_equals() -> None:
    x = np.array([[3.0, 1.0, 3.0, 2.0, 2.0]])
    for layer in ('type: "ArgMax"', 'type: "ArgMax" argmax_param { axis: 1 }'):
        one = Single(layer, (1, 5))
        assert one.torch(x)[0].item() == one.onnx(x)[0].item() == 2
    three = Single('type: "ArgMax" argmax_param { axis: 1 top_k: 3 }', (1, 5))
    for tops in (three.torch(x), three.onnx(x)):
        check(tops, [np.array([[2.0, 0.0, 4.0]])], 0)


def test_maximum_gives_a_tie_to_one_bottom() -> None:
    bottoms = [torch.ones((1, 1), dtype=torch.float64, requires_grad=True) for _ in range(3)]
    Single('type: "Eltwise" eltwise_param { operation: MAX }', *[(1, 1)] * 3).module()(*bottoms).sum().backward()
    # Of the first two the second, as Caffe compares with >; a later bottom has to be larger.
    assert [x.grad.item() for x in bottoms if x.grad is not None] == [0, 1, 0]


def test_mvn_gradient_with_eps() -> None:
    one = Single('type: "MVN" mvn_param { eps: 0.5 }', (1, 1, 1, 4))
    x = torch.tensor(one.bottoms[0], requires_grad=True)
    seed = np.array([1.0, -2.0, 0.5, 3.0])
    (one.module()(x) * torch.tensor(seed)).sum().backward()
    # mvn_layer.cpp: the divisor stands for the deviation in the backward pass, eps included.
    y, divisor = normal(one.bottoms[0], (2, 3), 0.5).ravel(), one.bottoms[0].std() + 0.5
    want = (seed - seed.mean() - y * (seed * y).mean()) / divisor
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy().ravel(), want, rtol=1e-12)


REFUSED: dict[str, tuple[str, list[Shape], int]] = {
    "top_k is 0": ('type: "ArgMax" argmax_param { top_k: 0 }', [(2, 3)], 1),
    "top_k is 4": ('type: "ArgMax" argmax_param { top_k: 4 }', [(2, 3)], 1),
    "concat_dim: is set beside axis|is set beside axis": (
        'type: "Concat" concat_param { axis: 1 concat_dim: 1 }',
        [(2, 3)],
        1,
    ),
    "bottom 1 is 2x3": ('type: "Concat" concat_param { axis: 2 }', [(2, 4, 1), (2, 3)], 1),
    "offset is given 2 times": ('type: "Crop" crop_param { axis: 1 offset: 1 offset: 1 }', [(2, 3, 4, 5)] * 2, 1),
    "lie within": ('type: "Crop" crop_param { offset: 1 }', [(2, 3, 4, 5)] * 2, 1),
    "with operation: MAX": ('type: "Eltwise" eltwise_param { operation: MAX coeff: 1 coeff: 2 }', [(2, 3)] * 2, 1),
    "coeff: is given|given 1 times": ('type: "Eltwise" eltwise_param { coeff: 1 }', [(2, 3)] * 2, 1),
    "bottom 1 is 3x2": ('type: "Eltwise"', [(2, 3), (3, 2)], 1),
    "before axis": ('type: "Flatten" flatten_param { axis: 2 end_axis: 1 }', [(2, 3, 4)], 1),
    "four axes at most": ('type: "MVN"', [(2, 3, 4, 5, 6)], 1),
    "axis is 3": ('type: "Reduction" reduction_param { axis: 3 }', [(2, 3, 4)], 1),
    "at most one -1": ('type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }', [(2, 3)], 1),
    "the counts must agree": ('type: "Reshape" reshape_param { shape { dim: 0 dim: 4 } }', [(2, 3)], 1),
    "makes 4x-1|the counts": ('type: "Reshape" reshape_param { shape { dim: 4 dim: -1 } }', [(2, 3)], 1),
    "does not have": ('type: "Reshape" reshape_param { shape { dim: -1 dim: 1 dim: 0 } }', [(2, 3)], 1),
    "reach past": ('type: "Reshape" reshape_param { axis: 1 num_axes: 2 }', [(2, 3)], 1),
    "slice_point: is given|given 1 times for 3": ('type: "Slice" slice_param { slice_point: 1 }', [(2, 3)], 3),
    "each must lie behind": ('type: "Slice" slice_param { slice_point: 2 slice_point: 2 }', [(2, 3)], 3),
    "up to 2": ('type: "Slice" slice_param { slice_point: 3 }', [(2, 3)], 2),
    "equal parts": ('type: "Slice"', [(2, 3)], 2),
    "is set beside": ('type: "Slice" slice_param { axis: 1 slice_dim: 1 }', [(2, 3)], 3),
    "tiles is missing": ('type: "Tile" tile_param { axis: 1 }', [(2, 3)], 1),
    "tiles is 0": ('type: "Tile" tile_param { tiles: 0 }', [(2, 3)], 1),
}


@pytest.mark.parametrize("says", REFUSED)
def test_refuses(says: str) -> None:
    layer, shapes, tops = REFUSED[says]
    with pytest.raises(Refused, match=says):
        graph_of(layer, *shapes, tops=tops)


@pytest.mark.parametrize("layer", ["AbsVal", "Flatten", "Reshape"])
def test_what_caffe_does_not_run_in_place(layer: str) -> None:
    net = f'''
        layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
        layer {{ name: "one" type: "{layer}" bottom: "x" top: "x" }}'''
    with pytest.raises(Refused, match="top 'x' is a bottom as well; Caffe does not run this layer in place"):
        build(parse_net(net))

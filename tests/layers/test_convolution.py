"""Convolution, Deconvolution and Im2col over any axes, beside the plain definition."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
import torch

from caffeport.errors import Refused

from .single import Single, check, graph_of

#: Fields, and the bottom's shape.
CASES = {
    "four spatial axes": (
        "kernel_size: 2 kernel_size: 1 kernel_size: 3 kernel_size: 2 stride: 2 pad: 1",
        (2, 4, 3, 2, 4, 5),
    ),
    "four, dilated": ("kernel_size: 2 dilation: 2 group: 2", (2, 4, 3, 4, 3, 5)),
    "five": ("kernel_size: 2 group: 2 stride: 1 stride: 2 stride: 1 stride: 2 stride: 1", (2, 4, 2, 3, 2, 4, 3)),
    "axis 2": ("axis: 2 kernel_h: 2 kernel_w: 3 pad_h: 1 pad_w: 0 group: 2", (2, 3, 4, 5, 6)),
    "axis -2": ("axis: -2 kernel_size: 3 stride: 2 pad: 2", (2, 3, 4, 7)),
    "axis 0": ("axis: 0 kernel_size: 2 stride: 2", (4, 5, 6)),
    "no spatial axis": ("group: 2", (3, 4)),
    "no spatial axis behind 2": ("axis: 2 kernel_size: 1 bias_term: false", (3, 2, 4)),
    "no spatial axis, one axis": ("axis: 0", (4,)),
    "plain": ("kernel_size: 3 pad: 1 stride: 2 dilation: 2 group: 2", (2, 4, 8, 9)),
}


def setting(text: str, axes: int, name: str, pair: str, default: int) -> tuple[int, ...]:
    words = text.replace(":", "").split()
    found = [int(value) for key, value in zip(words[::2], words[1::2], strict=True) if key == name and value.isdigit()]
    both = [int(words[words.index(f"{pair}_{side}") + 1]) for side in "hw" if f"{pair}_{side}" in words]
    values = found or both or [default]
    return tuple(values * axes if len(values) == 1 else values)


ALL = slice(None)
Taps = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def at(*place: Any) -> Any:
    """An index into some axes by number and into others by slice."""
    return place


class Definition:
    """The settings of a case, and convolution as nested loops."""

    def __init__(self, text: str, shape: tuple[int, ...]) -> None:
        words = text.replace(":", "").split()
        self.axis = int(words[words.index("axis") + 1]) % len(shape) if "axis" in words else 1
        self.group = int(words[words.index("group") + 1]) if "group" in words else 1
        axes = len(shape) - self.axis - 1
        self.kernel = setting(text, axes, "kernel_size", "kernel", 1)
        self.stride = setting(text, axes, "stride", "stride", 1)
        self.pad = setting(text, axes, "pad", "pad", 0)
        self.dilation = setting(text, axes, "dilation", "dilation", 1)

    def pairs(self, small: tuple[int, ...], wide: tuple[int, ...]) -> list[Taps]:
        """(place of a window, tap in the kernel, place on the wide side) for all that lie on the wide side."""
        found = []
        for place, tap in product(product(*map(range, small)), product(*map(range, self.kernel))):
            on = tuple(
                o * s - p + k * d
                for o, s, p, k, d in zip(place, self.stride, self.pad, tap, self.dilation, strict=True)
            )
            if all(0 <= i < side for i, side in zip(on, wide, strict=True)):
                found.append((place, tap, on))
        return found

    def sides(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        each = zip(spatial, self.kernel, self.stride, self.pad, self.dilation, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)

    def spread(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        each = zip(spatial, self.kernel, self.stride, self.pad, self.dilation, strict=True)
        return tuple(s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in each)


@pytest.mark.parametrize("name", CASES)
def test_convolution(name: str) -> None:
    text, shape = CASES[name]
    one, is_ = (
        Single(f'type: "Convolution" convolution_param {{ num_output: 6 {text} }}', shape),
        Definition(text, shape),
    )
    x = one.bottoms[0].reshape(-1, *shape[is_.axis :])
    weight, bias = one.params[0], one.params[1] if len(one.params) > 1 else np.zeros(6)
    sides = is_.sides(x.shape[2:])
    want = np.zeros((len(x), 6, *sides)) + bias.reshape(-1, *(1,) * len(sides))
    ins, outs = x.shape[1] // is_.group, 6 // is_.group
    for place, tap, on in is_.pairs(sides, x.shape[2:]):
        for group in range(is_.group):
            rows = slice(group * outs, (group + 1) * outs)
            taken = x[at(ALL, slice(group * ins, (group + 1) * ins), *on)]
            want[at(ALL, rows, *place)] += taken @ weight[at(rows, ALL, *tap)].T
    one.agrees(want.reshape(*shape[: is_.axis], *want.shape[1:]))


@pytest.mark.parametrize("name", CASES)
def test_deconvolution(name: str) -> None:
    text, shape = CASES[name]
    one, is_ = (
        Single(f'type: "Deconvolution" convolution_param {{ num_output: 6 {text} }}', shape),
        Definition(text, shape),
    )
    x = one.bottoms[0].reshape(-1, *shape[is_.axis :])
    weight, bias = one.params[0], one.params[1] if len(one.params) > 1 else np.zeros(6)
    sides = is_.spread(x.shape[2:])
    want = np.zeros((len(x), 6, *sides)) + bias.reshape(-1, *(1,) * len(sides))
    ins, outs = x.shape[1] // is_.group, 6 // is_.group
    for place, tap, on in is_.pairs(x.shape[2:], sides):
        for group in range(is_.group):
            rows = slice(group * ins, (group + 1) * ins)
            taken = x[at(ALL, rows, *place)]
            columns = slice(group * outs, (group + 1) * outs)
            want[at(ALL, columns, *on)] += taken @ weight[at(rows, ALL, *tap)]
    one.agrees(want.reshape(*shape[: is_.axis], *want.shape[1:]))


@pytest.mark.parametrize("name", [name for name in CASES if "no spatial" not in name])
def test_im2col(name: str) -> None:
    text, shape = CASES[name]
    one, is_ = Single(f'type: "Im2col" convolution_param {{ {text} }}', shape), Definition(text, shape)
    x = one.bottoms[0].reshape(-1, *shape[is_.axis :])
    sides = is_.sides(x.shape[2:])
    want = np.zeros((*x.shape[:2], *is_.kernel, *sides))
    for place, tap, on in is_.pairs(sides, x.shape[2:]):
        want[at(ALL, ALL, *tap, *place)] = x[at(ALL, ALL, *on)]
    one.agrees(want.reshape(*shape[: is_.axis], x.shape[1] * prod(is_.kernel), *sides))


def test_one_layer_over_two_bottoms_shares_its_weights() -> None:
    one = Single(
        'type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 2 }', (1, 3, 4, 5), (1, 3, 4, 5), tops=2
    )
    first, second = one.torch()
    check(one.onnx(), [first, second], 1e-5)
    np.testing.assert_array_equal(one.torch(one.bottoms[1], one.bottoms[0])[0], second)


def test_hole_is_dilation() -> None:
    texts = ("dilation: 2", "hole: 2", "hole_h: 2 hole_w: 2")
    tops = [
        Single(f'type: "Convolution" convolution_param {{ num_output: 2 kernel_size: 3 {text} }}', (1, 2, 6, 7)).torch()
        for text in texts
    ]
    for top in tops[1:]:
        check(top, tops[0], 0)


@pytest.mark.parametrize(
    ("layer", "fields", "message"),
    [
        ("Convolution", "num_output: 4 kernel_size: 3 group: 3", "group is 3 for 4 channels in, 4 out"),
        ("Convolution", "num_output: 4", "kernel_size is missing"),
        ("Convolution", "num_output: 0 kernel_size: 1", "num_output is 0"),
        ("Convolution", "num_output: 4 kernel_size: 9", "the kernel spans 9, the padded bottom only 5"),
        ("Convolution", "num_output: 4 kernel_size: 3 stride: 0", "stride is (0, 0)"),
        ("Convolution", "num_output: 4 kernel_size: 3 kernel_size: 3 kernel_size: 3", "kernel has 3 values"),
        ("Convolution", "num_output: 4 kernel_h: 3", "kernel_h is set without the other side"),
        ("Convolution", "num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3", "kernel_size is set beside kernel_h"),
        ("Convolution", "num_output: 4 kernel_size: 3 hole: 2 dilation: 2", "hole is set beside dilation"),
        ("Convolution", "num_output: 4 kernel_size: 3 axis: 4", "axis is 4"),
        ("Deconvolution", "num_output: 4 kernel_size: 1 pad: 3", "pad 3 takes all of the output"),
        ("Im2col", "kernel_size: 1 axis: 3", "axis is 3 on a bottom of 4 axes"),
    ],
)
def test_refusals(layer: str, fields: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        graph_of(f'type: "{layer}" convolution_param {{ {fields} }}', (2, 4, 5, 6))
    assert message in str(caught.value)


@pytest.mark.parametrize("layer", ["Convolution", "Deconvolution", "Im2col"])
def test_gradients_beyond_three_axes(layer: str) -> None:
    fields = "kernel_size: 2 stride: 2 pad: 1" + ("" if layer == "Im2col" else " num_output: 2")
    one = Single(f'type: "{layer}" convolution_param {{ {fields} }}', (1, 2, 2, 3, 2, 3))
    inputs = [torch.from_numpy(array).requires_grad_() for array in (one.bottoms[0], *one.params)]
    made = one.module()
    names = list(one.state)

    def call(x: torch.Tensor, *params: torch.Tensor) -> torch.Tensor:
        top: torch.Tensor = torch.func.functional_call(made, dict(zip(names, params, strict=True)), (x,))
        return top

    assert torch.autograd.gradcheck(call, inputs)

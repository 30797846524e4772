"""Recordings in which Caffe's backward pass read memory that an in-place layer had overwritten."""

from __future__ import annotations

import pytest
import torch

from caffeport.caffe.net import parse_net
from caffeport.emit.torch import module
from caffeport.graph import build
from caffeport.verify.overwritten import as_caffe_reads, notes, overwritten

DATA = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }'
FIRST = {
    "TanH": 'type: "TanH"',
    "Sigmoid": 'type: "Sigmoid"',
    "LRN": 'type: "LRN" lrn_param { local_size: 3 alpha: 0.7 beta: 0.6 k: 2 }',
    "ReLU": 'type: "ReLU" relu_param { negative_slope: 0.3 }',
    "ELU": 'type: "ELU" elu_param { alpha: 0.6 }',
}


def net(first: str, *behind: str) -> str:
    lines = [DATA, f'layer {{ name: "first" {first} }}']
    return "\n".join([*lines, *(f'layer {{ name: "l{k}" {text} }}' for k, text in enumerate(behind))])


def out_of_place(name: str) -> str:
    return f'bottom: "x" top: "y" {FIRST[name]}'


IN_PLACE = 'bottom: "y" top: "y" type: "Power" power_param { scale: -2 shift: 0.1 }'


@pytest.mark.parametrize("name", ["TanH", "Sigmoid", "LRN"])
def test_finds_what_reads_its_top(name: str) -> None:
    assert overwritten(build(parse_net(net(out_of_place(name), IN_PLACE, IN_PLACE)))) == {1: (3, 0)}


@pytest.mark.parametrize("name", ["ReLU", "ELU"])
def test_finds_what_reads_its_bottom_in_place(name: str) -> None:
    assert overwritten(build(parse_net(net(out_of_place(name), IN_PLACE)))) == {}
    text = net('bottom: "x" top: "y" type: "Power"', f'bottom: "y" top: "y" {FIRST[name]}', IN_PLACE)
    assert overwritten(build(parse_net(text))) == {2: (3, 0)}


def test_a_second_reader_keeps_the_memory() -> None:
    read_twice = net(out_of_place("TanH"), 'bottom: "y" top: "z" type: "ReLU"', IN_PLACE)
    assert overwritten(build(parse_net(read_twice))) == {}
    weighted = net(out_of_place("TanH") + " loss_weight: 1", IN_PLACE)
    assert overwritten(build(parse_net(weighted))) == {}
    within = net('bottom: "x" top: "y" type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL }', IN_PLACE)
    assert overwritten(build(parse_net(within))) == {}


def test_a_sentence_says_so() -> None:
    (sentence,) = notes(build(parse_net(net(out_of_place("TanH"), IN_PLACE))))
    assert sentence.startswith("Caffe's backward pass of 'first' (TanH) reads what 'l0' wrote over its top in place;")


@pytest.mark.parametrize("name", FIRST)
def test_with_its_own_top_in_memory_every_rule_is_the_derivative(name: str) -> None:
    bottom = '"x"' if name in ("TanH", "Sigmoid", "LRN") else '"y"'
    head = [] if bottom == '"x"' else ['bottom: "x" top: "y" type: "Power"']
    text = net(*head, f'bottom: {bottom} top: "y" {FIRST[name]}', 'bottom: "y" top: "y" type: "Dropout"')
    graph = build(parse_net(text))
    port = module(graph).double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((port(x) * weights).sum(), x)
    tops: dict[tuple[int, int], torch.Tensor] = {}
    (place,) = overwritten(graph).values()
    with as_caffe_reads(graph, lambda node: port.get_submodule(node.name), tops):
        y = port(x)
    tops[place] = y
    (got,) = torch.autograd.grad((y * weights).sum(), x)
    torch.testing.assert_close(got, wanted)

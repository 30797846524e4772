"""Crop without crop_param: HED's offsets, told from BVLC's by what lies between the bottoms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffeport.caffe.net import parse_net
from caffeport.emit.torch import module
from caffeport.graph import Graph, build

HEAD = (
    'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 1 dim: {0} dim: {0} }} }} }}\n'
)


def convolution(name: str, bottom: str, settings: str, kind: str = "Convolution") -> str:
    return (
        f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" '
        f"convolution_param {{ num_output: 1 bias_term: false {settings} }} }}\n"
    )


def crop(bottom: str, like: str, settings: str = "") -> str:
    return f'layer {{ name: "out" type: "Crop" bottom: "{bottom}" bottom: "{like}" top: "out" {settings} }}\n'


def crops(graph: Graph) -> list[tuple[int, ...]]:
    return [node.layer.torch(node.shapes).args[1] for node in graph.computing if node.type == "Crop"]


def hed(settings: str = "") -> str:
    """The shape of HED's third side output: padded, pooled twice, enlarged by 4."""
    text = HEAD.format(60) + convolution("c1", "data", "kernel_size: 3 pad: 35")
    text += 'layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }\n'
    for number, bottom in ((1, "c1"), (2, "c2")):
        text += (
            f'layer {{ name: "p{number}" type: "Pooling" bottom: "{bottom}" top: "p{number}" '
            "pooling_param { kernel_size: 2 stride: 2 } }\n"
        )
        text += convolution(f"c{number + 1}", f"p{number}", "kernel_size: 3 pad: 1")
    return text + convolution("up", "c3", "kernel_size: 8 stride: 4", "Deconvolution") + crop("up", "data", settings)


def test_finds_its_offset() -> None:
    assert crops(build(parse_net(hed()))) == [(36, 36)]


def test_a_given_offset_stays() -> None:
    assert crops(build(parse_net(hed("crop_param { offset: 5 }")))) == [(5, 5)]
    assert crops(build(parse_net(hed("crop_param { axis: 2 }")))) == [(0, 0)]


def test_the_offset_aligns() -> None:
    """A picture through kernels that only pass it on comes out where it was."""
    text = HEAD.format(12) + convolution("c1", "data", "kernel_size: 3 pad: 5") + crop("c1", "data")
    graph = build(parse_net(text))
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 1] = 1
    x = torch.arange(144.0).view(1, 1, 12, 12)
    assert torch.equal(module(graph, {"c1.weight": weight})(x), x)


#: Layers without a whole shift between their two sides.
UNDEFINED = {
    "another scale": convolution("x", "data", "kernel_size: 4 stride: 2", "Deconvolution"),
    "half a place": convolution("x", "data", "kernel_size: 4 pad: 9"),
    "no map": 'layer { name: "x" type: "Tile" bottom: "data" top: "x" tile_param { axis: 2 tiles: 2 } }\n',
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_undefined_is_bvlc(name: str) -> None:
    assert crops(build(parse_net(HEAD.format(40) + UNDEFINED[name] + crop("x", "data")))) == [(0, 0)]


def test_blobs_apart_are_bvlc() -> None:
    text = HEAD.format(9) + HEAD.format(5).replace("data", "like") + convolution("x", "data", "kernel_size: 3 pad: 2")
    graph = build(parse_net(text + crop("x", "like")))
    assert crops(graph) == [(0, 0)]
    x, like = torch.randn(1, 1, 9, 9), torch.zeros(1, 1, 5, 5)
    made = module(graph, {"x.weight": torch.ones(1, 1, 3, 3)})
    want = torch.nn.functional.conv2d(x, torch.ones(1, 1, 3, 3), padding=2)[:, :, :5, :5]
    np.testing.assert_array_equal(made(x, like).detach().numpy(), want.numpy())

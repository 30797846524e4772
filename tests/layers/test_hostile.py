"""A file may say anything: whatever a field is set to, a layer is built and emitted, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

from caffeport.caffe.net import LayerDef, NetDef, parse_net, read_net
from caffeport.caffe.schema import Schema
from caffeport.caffe.tree import Field, Message, Token
from caffeport.emit import onnx
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.errors import CaffeportError
from caffeport.graph import build
from caffeport.layers import layer_class
from caffeport.layers.probe import asked

GOLDEN = Path(__file__).parents[2] / "golden"
EXTREME = {
    "uint32": ("0", "1", "4294967295"),
    "int32": ("0", "1", "-1", "2147483647", "-2147483648"),
    "float": ("0", "-1", "inf", "nan", "1e38", "1e-38"),
    "bool": ("true", "false"),
}

#: Layers without goldens, with shapes of their bottoms.
FORKS: dict[str, tuple[str, list[tuple[int, ...]]]] = {
    "Interp": ("interp_param { height: 5 width: 6 }", [(1, 2, 3, 4)]),
    "Proposal": ("proposal_param { ratio: 1 scale: 8 }", [(1, 2, 3, 3), (1, 4, 3, 3), (1, 3)]),
    "PSROIPooling": (
        "psroi_pooling_param { spatial_scale: 0.5 output_dim: 2 group_size: 3 }",
        [(1, 18, 3, 3), (4, 5)],
    ),
    "ROIPooling": ("roi_pooling_param { pooled_h: 3 pooled_w: 2 }", [(1, 2, 3, 3), (4, 5)]),
    "Reorg": ("reorg_param { stride: 2 }", [(1, 4, 4, 4)]),
    "ReLU6": ("relu6_param { }", [(2, 3)]),
    "ShuffleChannel": ("shuffle_channel_param { group: 2 }", [(1, 4, 3, 3)]),
    "CropCenter": ("crop_center_param { crop_size: 0 crop_size: 1 }", [(2, 3)]),
    "Upsample": ("upsample_param { scale: 2 }", [(1, 2, 3, 4)]),
    "BN": ("bn_param { frozen: true }", [(2, 3, 4, 5)]),
    "Yolov3DetectionOutput": (
        "yolov3_detection_output_param { num_classes: 1 num_box: 1 mask_group_num: 1 mask: 0 biases: 2 biases: 3 "
        "anchors_scale: 32 confidence_threshold: 0.1 nms_threshold: 0.4 }",
        [(1, 6, 3, 3)],
    ),
}


def fork_net(name: str) -> NetDef:
    param, shapes = FORKS[name]
    dims = (" ".join(f"dim: {side}" for side in shape) for shape in shapes)
    inputs = [
        f'layer {{ name: "{k}" type: "Input" top: "{k}" input_param {{ shape {{ {dim} }} }} }}'
        for k, dim in enumerate(dims)
    ]
    bottoms = " ".join(f'bottom: "{k}"' for k in range(len(shapes)))
    return parse_net("\n".join([*inputs, f'layer {{ name: "out" type: "{name}" {bottoms} top: "out" {param} }}']))


def nets() -> Iterator[tuple[str, NetDef]]:
    for folder in sorted(GOLDEN.glob("layers/*")) + sorted(GOLDEN.glob("ssd/*")):
        if folder.name != "graph":
            yield folder.name, read_net(sorted(folder.glob("*/net.prototxt"))[0])
    for name in FORKS:
        yield name, fork_net(name)


def variants(definition: LayerDef) -> Iterator[LayerDef]:
    """The layer with each number of its own messages set to each extreme in turn."""
    cls, schema = layer_class(definition.type), Schema.load()
    assert cls is not None
    for outer in sorted(name for name in asked(cls).opened if "." not in name):
        known = schema.field_type("LayerParameter", outer)
        for field in schema.message(known.type).by_name.values() if known else ():
            for value in EXTREME.get(field.type, ()):
                message = definition.message
                now = next(message.messages(outer), Message((), message.where))
                kept = tuple(one for one in now.fields if one.name != field.name)
                inner = replace(now, fields=(*kept, Field(field.name, Token(value), now.where)))
                rest = tuple(one for one in message.fields if one.name != outer)
                yield replace(definition, message=replace(message, fields=(*rest, Field(outer, inner, message.where))))


def convert(net: NetDef) -> None:
    graph = build(net)
    emit(graph)
    if net.phase == "TEST" and all(prod(value.shape) < 1e5 for node in graph.nodes for value in node.tops):
        keys, params = name_graph(graph).state, [(node, k) for node in graph.nodes for k in range(len(node.params))]
        if all(prod(node.params[k].shape) < 1e5 for node, k in params):
            state = {keys[node.index, k]: np.zeros(node.params[k].shape, np.float32) for node, k in params}
            onnx.emit(graph, state)


CASES = {name: net for name, net in nets() if any(True for one in net.layers for _ in variants(one))}


def test_most_types_have_numbers() -> None:
    assert len(CASES) > 55


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("name", CASES)
def test_extreme_numbers(name: str) -> None:
    net = CASES[name]
    for place, definition in enumerate(net.layers):
        for variant in variants(definition):
            # Anything but a refusal of ours fails the test.
            with suppress(CaffeportError):
                convert(replace(net, layers=(*net.layers[:place], variant, *net.layers[place + 1 :])))

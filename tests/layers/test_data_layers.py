"""Data layers: their tops become inputs, of the shapes that the net tells or the caller gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffeport.caffe.net import parse_net
from caffeport.emit import onnx as emit_onnx
from caffeport.emit.torch import module
from caffeport.errors import CaffeportError, Refused
from caffeport.graph import Graph, build

Shape = tuple[int, ...]


def source(layer: str, tops: str = "data label", shapes: dict[str, Shape] | None = None) -> Graph:
    named = " ".join(f'top: "{top}"' for top in tops.split())
    return build(parse_net(f'layer {{ name: "in" {named} {layer} }}', file="net.prototxt"), shapes)


def shapes_of(graph: Graph) -> dict[str, Shape]:
    assert graph.outputs == ()
    return {value.blob: value.shape for value in graph.inputs}


KNOWN = {
    "cropped": (
        'type: "Data" data_param { batch_size: 7 source: "db" } transform_param { crop_size: 9 }',
        (7, 3, 9, 9),
    ),
    "gray": (
        'type: "Data" data_param { batch_size: 7 } transform_param { crop_size: 9 force_gray: true mean_file: "m" }',
        (7, 1, 9, 9),
    ),
    "resized by SSD": (
        'type: "Data" data_param { batch_size: 2 } '
        "transform_param { resize_param { prob: 1 resize_mode: WARP height: 5 width: 6 interp_mode: LINEAR } }",
        (2, 3, 5, 6),
    ),
    "crop_h": (
        'type: "Data" data_param { batch_size: 2 } transform_param { crop_h: 5 crop_w: 6 mirror: true }',
        (2, 3, 5, 6),
    ),
    "list": (
        'type: "ImageData" image_data_param { source: "l" batch_size: 4 new_height: 5 new_width: 6 }',
        (4, 3, 5, 6),
    ),
    "list, cropped": (
        'type: "ImageData" image_data_param { source: "l" new_height: 5 new_width: 6 is_color: false shuffle: true } '
        "transform_param { crop_size: 4 scale: 0.5 }",
        (1, 1, 4, 4),
    ),
    "windows": (
        'type: "WindowData" window_data_param { source: "w" batch_size: 8 fg_fraction: 0.5 crop_mode: "warp" } '
        "transform_param { crop_size: 6 }",
        (8, 3, 6, 6),
    ),
    "memory": (
        'type: "MemoryData" memory_data_param { batch_size: 2 channels: 4 height: 5 width: 6 } '
        "transform_param { scale: 2 }",
        (2, 4, 5, 6),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_shapes_that_the_net_tells(name: str) -> None:
    layer, data = KNOWN[name]
    assert shapes_of(source(layer)) == {"data": data, "label": data[:1]}


@pytest.mark.parametrize("name", KNOWN)
def test_labels_follow_a_given_batch(name: str) -> None:
    given = (11, 3, 13, 14)
    assert shapes_of(source(KNOWN[name][0], shapes={"data": given})) == {"data": given, "label": (11,)}


def test_pixel_labels_and_boxes_of_forks() -> None:
    dense = 'type: "DenseImageData" dense_image_data_param { source: "l" batch_size: 2 shuffle: true %s }'
    sized = source(dense % "new_height: 5 new_width: 6")
    assert shapes_of(sized) == {"data": (2, 3, 5, 6), "label": (2, 1, 5, 6)}
    given = source(dense % "", shapes={"data": (3, 3, 7, 8)})
    assert shapes_of(given) == {"data": (3, 3, 7, 8), "label": (3, 1, 7, 8)}
    boxes = (
        'type: "AnnotatedData" data_param { source: "db" batch_size: 4 backend: LMDB } '
        "annotated_data_param { batch_sampler { max_sample: 1 } anno_type: BBOX } "
        "transform_param { resize_param { height: 5 width: 6 } resize_param { height: 7 width: 8 } }"
    )
    assert shapes_of(source(boxes)) == {"data": (4, 3, 5, 6), "label": (1, 1, 1, 8)}


def test_hdf5_needs_every_shape() -> None:
    layer = 'type: "HDF5Data" hdf5_data_param { source: "list.txt" batch_size: 3 }'
    given: dict[str, Shape] = {"x": (3, 4), "y": (3,), "z": (3, 2, 2)}
    assert shapes_of(source(layer, "x y z", given)) == given
    with pytest.raises(Refused, match="the shape of top 1 stands in the data and not in the net"):
        source(layer, "x y", {"x": (3, 4)})


def test_what_the_data_alone_know_must_be_given() -> None:
    with pytest.raises(Refused) as caught:
        source('type: "Data" data_param { source: "db" batch_size: 7 }')
    assert str(caught.value) == (
        "net.prototxt:1: layer 'in' (Data): the shape of top 0 stands in the data and not in the net; "
        "give it with the net: build(net, shapes={blob: (N, C, H, W)})"
    )


REFUSED = {
    "both sides": ('type: "ImageData" image_data_param { new_height: 5 }', "new_height is 5 and new_width 0"),
    "transformed HDF5": ('type: "HDF5Data" transform_param { }', "Caffe does not transform what comes out of HDF5"),
    "negative": ('type: "Data" data_param { batch_size: -1 }', "batch_size"),
    "one top": ('type: "MemoryData" top: "third"', "has 3 tops; 2 tops are possible"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    layer, part = REFUSED[name]
    with pytest.raises(CaffeportError) as caught:
        source(layer)
    assert part in str(caught.value)


def test_source_and_transformation_stay_readable() -> None:
    node = source(KNOWN["cropped"][0]).nodes[0]
    fields = node.definition.fields()
    assert fields.sub("data_param").str("source") == "db"
    assert fields.sub("transform_param").int("crop_size") == 9


def test_what_goes_into_an_hdf5_file_comes_out_of_the_port() -> None:
    text = """
    layer { name: "in" type: "Input" top: "a" top: "b" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "r" type: "ReLU" bottom: "a" top: "c" }
    layer { name: "s" type: "ReLU" bottom: "b" top: "d" }
    layer { name: "out" type: "HDF5Output" bottom: "c" bottom: "d" hdf5_output_param { file_name: "/no/where.h5" } }
    """
    graph = build(parse_net(text))
    assert [value.blob for value in graph.outputs] == ["c", "d"]
    assert graph.nodes[-1].layer == type(graph.nodes[-1].layer)(file="/no/where.h5")  # type: ignore[call-arg]
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    made = module(graph)(a, b)
    np.testing.assert_array_equal(made["c"], a.relu())
    np.testing.assert_array_equal(made["d"], b.relu())
    assert [node.op_type for node in emit_onnx.emit(graph, {}).graph.node] == ["Relu", "Relu"]


def test_hdf5_output_wants_one_batch() -> None:
    text = """
    layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 3 } } }
    layer { name: "out" type: "HDF5Output" bottom: "a" bottom: "b" hdf5_output_param { file_name: "f" } }
    """
    with pytest.raises(Refused, match="the bottoms are 2x3 and 3; their batch must be the same"):
        build(parse_net(text))

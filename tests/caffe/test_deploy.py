"""Deploy nets out of training nets: what stays, what goes, and where the input's shape comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffeport.caffe.deploy import deploy, deploy_with_notes, needs_deploy
from caffeport.caffe.net import NetDef, parse_net, read_net
from caffeport.caffe.text import parse_text
from caffeport.caffe.weights import Weights, open_weights
from caffeport.caffe.write import write_binary, write_mean
from caffeport.errors import Refused

DATA = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        transform_param { crop_size: 20 mean_value: 1 mean_value: 2 mean_value: 3 } data_param { batch_size: 64 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 20 mean_value: 1 mean_value: 2 mean_value: 3 } data_param { batch_size: 50 } }
"""
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }\n'
SOFTMAX_LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
ACCURACY = 'layer { name: "acc" type: "Accuracy" bottom: "fc" bottom: "label" top: "acc" include { phase: TEST } }\n'


def cut(text: str, **more: object) -> NetDef:
    return deploy(parse_text(text, "net.prototxt"), **more)  # type: ignore[arg-type]


def layers(net: NetDef) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    return [(one.name, one.type, one.bottoms, one.tops) for one in net if one.type != "Input"]


def inputs(net: NetDef) -> dict[str, tuple[int, ...]]:
    found = {}
    for one in net:
        if one.type == "Input":
            shapes = one.fields().sub("input_param").subs("shape")
            found.update({top: shape.ints("dim") for top, shape in zip(one.tops, shapes, strict=True)})
    return found


FC_LAYER = ("fc", "InnerProduct", ("data",), ("fc",))


def test_softmax_loss_becomes_prob_and_labels_go() -> None:
    net = cut(DATA + FC + ACCURACY + SOFTMAX_LOSS)
    assert inputs(net) == {"data": (1, 3, 20, 20)}
    assert layers(net) == [FC_LAYER, ("prob", "Softmax", ("fc",), ("prob",))]
    assert not needs_deploy(net)
    assert needs_deploy(parse_net(DATA + FC + SOFTMAX_LOSS))


def test_the_loss_of_the_training_phase_counts_too() -> None:
    train_only = SOFTMAX_LOSS.replace('top: "loss"', 'top: "loss" include { phase: TRAIN } softmax_param { axis: 2 }')
    net = cut(DATA + FC + ACCURACY + train_only)
    assert layers(net) == [FC_LAYER, ("prob", "Softmax", ("fc",), ("prob",))]
    assert net.layer("prob").fields().sub("softmax_param").int("axis") == 2


def test_a_softmax_that_is_there_is_not_doubled() -> None:
    own = 'layer { name: "p" type: "Softmax" bottom: "fc" top: "p" include { phase: TEST } }\n'
    assert layers(cut(DATA + FC + own + SOFTMAX_LOSS))[1:] == [("p", "Softmax", ("fc",), ("p",))]


def test_several_heads_keep_the_names_of_their_losses() -> None:
    second = SOFTMAX_LOSS.replace('"loss"', '"loss2"').replace('"fc"', '"fc2"')
    more = FC.replace('"fc"', '"fc2"')
    named = [one[0] for one in layers(cut(DATA + FC + more + SOFTMAX_LOSS + second))]
    assert named == ["fc", "fc2", "loss", "loss2"]


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("SigmoidCrossEntropyLoss", [FC_LAYER, ("prob", "Sigmoid", ("fc",), ("prob",))]),
        ("EuclideanLoss", [FC_LAYER]),
        ("HingeLoss", [FC_LAYER]),
        ("SmoothL1Loss", [FC_LAYER]),
    ],
)
def test_other_losses(loss: str, wanted: list[object]) -> None:
    assert layers(cut(DATA + FC + SOFTMAX_LOSS.replace("SoftmaxWithLoss", loss))) == wanted


def test_a_losses_second_top_is_its_softmax() -> None:
    text = DATA + FC + SOFTMAX_LOSS.replace('top: "loss"', 'top: "loss" top: "scores"')
    text += 'layer { name: "best" type: "ArgMax" bottom: "scores" top: "best" }'
    assert layers(cut(text))[1:] == [
        ("prob", "Softmax", ("fc",), ("scores",)),
        ("best", "ArgMax", ("scores",), ("best",)),
    ]


def test_what_only_labels_feed_goes_and_in_place_layers_stay() -> None:
    text = """
layer { name: "cut" type: "Slice" bottom: "label" top: "l1" top: "l2" }
layer { name: "scaled" type: "Power" bottom: "l1" top: "l1s" }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }
layer { name: "out" type: "InnerProduct" bottom: "fc" top: "out" inner_product_param { num_output: 1 } }
layer { name: "e" type: "EuclideanLoss" bottom: "out" bottom: "l1s" top: "e" loss_weight: 2 }
layer { name: "s" type: "Silence" bottom: "l2" }
"""
    net = cut(DATA + FC + text)
    assert [one[0] for one in layers(net)] == ["fc", "relu", "drop", "out"]
    assert all(not one.loss_weights for one in net)


def test_data_of_the_training_phase_are_taken_where_the_test_phase_has_none() -> None:
    first = DATA.split("layer {")[1]
    assert inputs(cut("layer {" + first + FC + SOFTMAX_LOSS)) == {"data": (1, 3, 20, 20)}


def test_stages_called_deploy_are_chosen() -> None:
    text = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 7 } } include { stage: "deploy" } }
layer { name: "lm" type: "Data" top: "data" top: "label" exclude { stage: "deploy" } }
"""
    loss = SOFTMAX_LOSS.replace('top: "loss"', 'top: "loss" exclude { stage: "deploy" }')
    prob = 'layer { name: "p" type: "Softmax" bottom: "fc" top: "p" include { stage: "deploy" } }'
    net = cut(text + FC + loss + prob)
    assert inputs(net) == {"data": (1, 7)}
    assert layers(net) == [FC_LAYER, ("p", "Softmax", ("fc",), ("p",))]


def test_caffes_own_splits_are_undone() -> None:
    text = (
        'input: "data" input_shape { dim: 1 dim: 3 }'
        + FC.replace('top: "fc"', 'top: "fc"')
        + """
layer { name: "fc_fc_0_split" type: "Split" bottom: "fc" top: "fc_fc_0_split_0" top: "fc_fc_0_split_1" }
layer { name: "a" type: "ReLU" bottom: "fc_fc_0_split_0" top: "a" }
layer { name: "b" type: "TanH" bottom: "fc_fc_0_split_1" top: "b" }
"""
    )
    assert layers(cut(text))[1:] == [("a", "ReLU", ("fc",), ("a",)), ("b", "TanH", ("fc",), ("b",))]


def test_phases_that_caffe_saved_go() -> None:
    text = DATA + FC + 'layer { name: "d" type: "Dropout" bottom: "fc" top: "d" phase: TRAIN }'
    assert {one.phase for one in cut(text)} == {"TEST"}


def test_batches_joined_from_several_files_are_one_input() -> None:
    text = """
layer { name: "p" type: "HDF5Data" top: "pos" top: "l" include { phase: TRAIN } }
layer { name: "n" type: "HDF5Data" top: "neg" include { phase: TRAIN } }
layer { name: "data" type: "Concat" bottom: "pos" bottom: "neg" top: "data" concat_param { axis: 0 } }
"""
    assert inputs(cut(text + FC, shapes={"data": (1, 9)})) == {"data": (1, 9)}


# ---- where shapes come from ---------------------------------------------------------------------------------------


def data_layer(kind: str, inside: str) -> str:
    return f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {inside} }}'


@pytest.mark.parametrize(
    ("kind", "inside", "wanted"),
    [
        ("ImageData", "transform_param { crop_size: 9 } image_data_param { new_height: 4 new_width: 5 }", (1, 3, 9, 9)),
        ("ImageData", "image_data_param { new_height: 4 new_width: 5 }", (1, 3, 4, 5)),
        ("ImageData", "image_data_param { new_height: 4 new_width: 5 is_color: false }", (1, 1, 4, 5)),
        ("WindowData", "window_data_param { crop_size: 6 }", (1, 3, 6, 6)),
        ("MemoryData", "memory_data_param { batch_size: 8 channels: 2 height: 3 width: 4 }", (1, 2, 3, 4)),
        ("DummyData", "dummy_data_param { shape { dim: 8 dim: 2 dim: 5 } shape { dim: 8 } }", (1, 2, 5)),
        ("DummyData", "dummy_data_param { num: 8 channels: 2 height: 3 width: 4 }", (1, 2, 3, 4)),
        ("Data", "transform_param { crop_size: 9 force_gray: true }", (1, 1, 9, 9)),
        ("Data", "transform_param { crop_size: 9 force_color: true }", (1, 3, 9, 9)),
    ],
)
def test_data_layers_tell_shapes(kind: str, inside: str, wanted: tuple[int, ...]) -> None:
    net, notes = deploy_with_notes(parse_text(data_layer(kind, inside) + FC + SOFTMAX_LOSS))
    assert inputs(net) == {"data": wanted}
    assert notes == (f"input 'data' is {'x'.join(map(str, wanted))} (its data layer says so)",)


def test_a_mean_file_beside_the_net_tells_the_shape(tmp_path: Path) -> None:
    write_mean(np.zeros((3, 6, 7), np.float32), tmp_path / "mean.binaryproto")
    path = tmp_path / "train_val.prototxt"
    path.write_text(data_layer("Data", 'transform_param { mean_file: "/far/mean.binaryproto" }') + FC + SOFTMAX_LOSS)
    assert inputs(deploy(path)) == {"data": (1, 3, 6, 7)}
    (tmp_path / "mean.binaryproto").write_bytes(b"\x08\x01broken")
    with pytest.raises(Refused, match="cannot be read"):
        deploy(path)


def test_a_shape_nobody_tells_is_asked_for() -> None:
    with pytest.raises(Refused, match=r"--input-shape data=1,C,HEIGHT,WIDTH"):
        cut(data_layer("HDF5Data", "") + FC)
    with pytest.raises(Refused, match=r"--input-shape data=1,C,9,9"):
        cut(data_layer("Data", "transform_param { crop_size: 9 }") + FC)
    assert inputs(cut(data_layer("HDF5Data", "") + FC, shapes={"data": (1, 4, 5, 6)})) == {"data": (1, 4, 5, 6)}


def weights_for(tmp_path: Path, text: str, arrays: dict[str, list[Any]]) -> Weights:
    write_binary(parse_text(text), arrays, tmp_path / "w.caffemodel")
    return open_weights(tmp_path / "w.caffemodel")


CONVS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: %(kernel)d stride: %(stride)d } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "out" type: "InnerProduct" bottom: "pool" top: "out" inner_product_param { num_output: 2 } }
"""


@pytest.mark.parametrize(
    ("kernel", "stride", "side", "wanted"),
    [(11, 4, 27, 227), (5, 1, 14, 32), (3, 1, 15, 32), (3, 2, 20, None), (3, 2, 56, 227)],
)
def test_weights_tell_the_size(tmp_path: Path, kernel: int, stride: int, side: int, wanted: int | None) -> None:
    """AlexNet's first layers give 27 from 223 to 230: 227 is the usual size that every window divides."""
    text = data_layer("Data", "") + CONVS % {"kernel": kernel, "stride": stride}
    arrays: dict[str, list[Any]] = {
        "conv": [np.zeros((4, 3, kernel, kernel), np.float32)],
        "out": [np.zeros((2, 4 * side * side), np.float32)],
    }
    weights = weights_for(tmp_path, text, arrays)
    if wanted is None:
        with pytest.raises(Refused, match="more than one fits"):
            cut(text, weights=weights)
    else:
        assert inputs(cut(text, weights=weights)) == {"data": (1, 3, wanted, wanted)}


def test_an_inner_product_on_the_data_tells_the_shape(tmp_path: Path) -> None:
    text = data_layer("HDF5Data", "") + FC
    weights = weights_for(tmp_path, text, {"fc": [np.zeros((5, 12), np.float32)]})
    assert inputs(cut(text, weights=weights)) == {"data": (1, 12)}


# ---- whole models --------------------------------------------------------------------------------------------------


def test_a_training_net_inside_a_caffemodel(golden: Path) -> None:
    net = deploy(golden / "formats/v1-training-net/net.caffemodel")
    wanted = read_net(golden / "formats/v2/net.prototxt")
    assert layers(net) == layers(wanted)
    assert {name: shape[1:] for name, shape in inputs(net).items()} == {
        name: s[1:] for name, s in inputs(wanted).items()
    }


@pytest.mark.parametrize(
    ("model", "definition"),
    [
        ("cifar10_quick_v1/cifar10_quick_iter_5000.caffemodel", "cifar10_quick_v1/cifar10_quick.prototxt"),
        ("lenet_v1/lenet_iter_10000.caffemodel", "lenet_v1/lenet.prototxt"),
        ("lenet_v2/lenet_iter_10000.caffemodel", "lenet_v2/lenet.prototxt"),
        ("deepface_lrn/snapshot_iter_100000.caffemodel", "deepface_lrn/deploy.prototxt"),
        ("memnet_prototxt/train_val.prototxt", "memnet_prototxt/deploy.prototxt"),
    ],
)
def test_models_agree_with_the_deploy_nets_of_their_authors(shared: Path, model: str, definition: str) -> None:
    net, wanted = deploy(shared / "models" / model), read_net(shared / "models" / definition)
    assert layers(net) == layers(wanted)
    mine, theirs = inputs(net), inputs(wanted)
    assert [shape[1:] for shape in mine.values()] == [shape[1:] for shape in theirs.values()]

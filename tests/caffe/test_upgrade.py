"""V0 and V1 brought to today's form, as BVLC's upgrade_proto.cpp does it."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from caffeport.caffe import upgrade as module
from caffeport.caffe.net import read_net_message
from caffeport.caffe.schema import Schema
from caffeport.caffe.text import parse_text
from caffeport.caffe.tree import Message
from caffeport.caffe.upgrade import era, upgrade_net, upgrade_solver
from caffeport.caffe.write import net_text
from caffeport.errors import CaffeportError, Problems, Refused

from .witness import message_class


def upgraded(text: str) -> Message:
    return upgrade_net(parse_text(text, "net"))


def same(text: str, wanted: str, schema_type: str = "NetParameter") -> None:
    """Upgraded, the net says what `wanted` says; protobuf reads both."""
    mine = net_text(upgraded(text), schema_type)
    one, two = (text_format.Parse(part, message_class(schema_type)()) for part in (mine, wanted))
    assert str(one) == str(two)


def test_every_enum_name_of_v1_has_its_type() -> None:
    assert set(module._V1_TYPES) >= set(Schema.load().enum("V1LayerParameter.LayerType"))


@pytest.mark.parametrize("name", ["v0-legacy-blobs", "v1-legacy-blobs", "v1-shape-blobs"])
@pytest.mark.parametrize("file", ["net.prototxt", "net.caffemodel"])
def test_all_eras_of_one_net_say_the_same(golden: Path, name: str, file: str) -> None:
    def said(path: Path) -> list[str]:
        net = text_format.Parse(net_text(upgrade_net(read_net_message(path))), message_class("NetParameter")())
        for layer in net.layer:
            layer.ClearField("param")
            layer.convolution_param.ClearField("weight_filler")
            layer.inner_product_param.ClearField("weight_filler")
            for field in ("convolution_param", "inner_product_param"):
                if not getattr(layer, field).ByteSize():
                    layer.ClearField(field)
        return [str(layer) for layer in net.layer if layer.type != "Input"]

    assert era(read_net_message(golden / "formats" / name / file)) == name[:2].upper()
    assert said(golden / "formats" / name / file) == said(golden / "formats/v2/net.prototxt")


def test_v0_fields_find_their_messages() -> None:
    same(
        """
        name: "old" input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9
        layers { layer { name: "c" type: "conv" num_output: 4 biasterm: false kernelsize: 3 stride: 2 group: 2 pad: 1
                         weight_filler { type: "gaussian" std: .01 } blobs_lr: 1. weight_decay: 0. }
                 bottom: "x" top: "c" }
        layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 2 stride: 2 } bottom: "c" top: "p" }
        layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 2 beta: .5 k: 1.5 } bottom: "p" top: "n" }
        layers { layer { name: "d" type: "dropout" dropout_ratio: .3 } bottom: "n" top: "n" }
        layers { layer { name: "f" type: "innerproduct" num_output: 2 blobs_lr: 1 blobs_lr: 2 } bottom: "n" top: "f" }
        layers { layer { name: "i" type: "images" source: "l.txt" batchsize: 8 new_height: 9 cropsize: 7 mirror: true
                         meanfile: "m" scale: 2 rand_skip: 3 shuffle_images: true } top: "i" }
        """,
        """
        name: "old"
        layer { name: "input" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 9 } } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "c" param { lr_mult: 1 decay_mult: 0 }
                convolution_param { num_output: 4 bias_term: false kernel_size: 3 stride: 2 group: 2 pad: 1
                                    weight_filler { type: "gaussian" std: .01 } } }
        layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
        layer { name: "n" type: "LRN" bottom: "p" top: "n" lrn_param { local_size: 3 alpha: 2 beta: .5 k: 1.5 } }
        layer { name: "d" type: "Dropout" bottom: "n" top: "n" dropout_param { dropout_ratio: .3 } }
        layer { name: "f" type: "InnerProduct" bottom: "n" top: "f" param { lr_mult: 1 } param { lr_mult: 2 }
                inner_product_param { num_output: 2 } }
        layer { name: "i" type: "ImageData" top: "i"
                image_data_param { source: "l.txt" batch_size: 8 new_height: 9 rand_skip: 3 shuffle: true }
                transform_param { crop_size: 7 mirror: true mean_file: "m" scale: 2 } }
        """,
    )


def test_a_v0_field_without_a_place_stays_in_the_layer() -> None:
    layer = next(upgraded('layers { layer { name: "r" type: "relu" kernelsize: 3 } }').messages("layer"))
    assert [field.name for field in layer.fields] == ["type", "name", "kernelsize"] or layer.all("kernelsize")


PADDING = """
    input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9
    layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "x" top: "padded" }
"""


def test_padding_layers_are_folded_into_what_reads_them() -> None:
    conv = 'layers { layer { name: "c" type: "conv" kernelsize: 3 pad: 9 } bottom: "padded" top: "c" }'
    pool = 'layers { layer { name: "p" type: "pool" kernelsize: 3 } bottom: "padded" top: "p" }'
    same(
        PADDING + conv + pool,
        """
        layer { name: "input" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 9 } } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { kernel_size: 3 pad: 2 } }
        layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 3 pad: 2 } }
        """,
    )
    with pytest.raises(Refused, match="reads a padding layer"):
        upgraded(PADDING + 'layers { layer { name: "r" type: "relu" } bottom: "padded" top: "r" }')
    with pytest.raises(Refused, match="more than one"):
        upgraded(PADDING + 'layers { layer { name: "c" type: "conv" } bottom: "padded" bottom: "x" top: "c" }')


def test_v1_lists_become_param_messages() -> None:
    same(
        """
        layers { name: "a" type: INNER_PRODUCT blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
                 param: "w" param: "b" blob_share_mode: STRICT blob_share_mode: PERMISSIVE loss_weight: 3
                 include { phase: TEST } }
        layers { name: "b" type: 14 blobs_lr: 1 param: "w" param: "b" }
        """,
        """
        layer { name: "a" type: "InnerProduct" loss_weight: 3 include { phase: TEST }
                param { name: "w" share_mode: STRICT lr_mult: 1 decay_mult: 1 }
                param { name: "b" share_mode: PERMISSIVE lr_mult: 2 decay_mult: 0 } }
        layer { name: "b" type: "InnerProduct" param { name: "w" lr_mult: 1 } param { name: "b" } }
        """,
    )


def test_v1_data_layers_hand_their_transformations_over() -> None:
    same(
        """layers { name: "d" type: DATA data_param { source: "s" scale: 2 mean_file: "m" crop_size: 9 mirror: true }
                    transform_param { crop_size: 5 } }""",
        """layer { name: "d" type: "Data" data_param { source: "s" }
                   transform_param { scale: 2 mean_file: "m" crop_size: 9 mirror: true } }""",
    )
    # Today's layers keep theirs: Caffe does not look at them there.
    today = 'layer { name: "d" type: "Data" data_param { scale: 2 } }'
    same(today, today)


def test_layers_of_both_kinds_leave_the_old_ones() -> None:
    same('layer { name: "new" type: "ReLU" } layers { name: "old" type: RELU }', 'layer { name: "old" type: "ReLU" }')


def test_forks_keep_their_types_and_fields() -> None:
    net = upgraded("layers { type: LOCAL local_param { kernel_size: 3 } } layers { type: 77 } layers { type: MY_OWN }")
    types = [layer.all("type")[0].value for layer in net.messages("layer")]
    assert [getattr(value, "text", None) for value in types] == ["Local", "77", "MY_OWN"]
    assert next(net.messages("layer")).all("local_param")


def test_inputs() -> None:
    same(
        'layer { name: "r" type: "ReLU" } input: "a" input: "b" input_shape { dim: 2 dim: 3 } input_shape { dim: 4 }',
        """layer { name: "input" type: "Input" top: "a" top: "b"
                   input_param { shape { dim: 2 dim: 3 } shape { dim: 4 } } } layer { name: "r" type: "ReLU" }""",
    )
    bare = list(upgraded('input: "a" layer { type: "ReLU" }').messages("layer"))
    assert bare[0].all("top")
    assert not bare[0].all("input_param"), "known, without a shape; Caffe drops it"
    for text in (
        'input: "a" input_dim: 1 input_dim: 2 input_dim: 3',
        'input: "a" input: "b" input_shape { dim: 1 }',
        'input: "a" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1 input_shape { dim: 1 }',
    ):
        with pytest.raises(Refused):
            upgraded(text)


def test_batch_norms_with_three_parameters_do_not_learn_them() -> None:
    spec = "param { lr_mult: 0 decay_mult: 0 }"
    same(
        'layer { type: "BatchNorm" param { lr_mult: 1 } param { decay_mult: 2 } param { name: "n" } }',
        f'layer {{ type: "BatchNorm" {spec} {spec} param {{ name: "n" lr_mult: 0 decay_mult: 0 }} }}',
    )
    two = 'layer { type: "BatchNorm" param { lr_mult: 1 } param { lr_mult: 1 } }'
    same(two, two)


def test_solver_types() -> None:
    for written, wanted in (("NESTEROV", "Nesterov"), ("5", "Adam"), ("RMSPROP", "RMSProp")):
        solver = upgrade_solver(parse_text(f"base_lr: 1 solver_type: {written}"))
        assert net_text(solver, "SolverParameter") == f'base_lr: 1\ntype: "{wanted}"\n'
    for text in ('solver_type: SGD type: "Adam"', "solver_type: LION"):
        with pytest.raises(Refused):
            upgrade_solver(parse_text(text))


def test_all_problems_at_once() -> None:
    with pytest.raises(Problems) as caught:
        upgraded('layers { layer { type: "warp" } } layers { layer { type: "weft" } }')
    assert len(caught.value.problems) == 2
    assert all(isinstance(problem, CaffeportError) for problem in caught.value.problems)


def test_upgrading_twice_changes_nothing(shared: Path) -> None:
    for path in sorted((shared / "models").glob("*/*.prototxt")):
        if "solver" not in path.name:
            once = upgrade_net(read_net_message(path))
            assert upgrade_net(once) == once

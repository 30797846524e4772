"""One normalised net: phases, levels, stages, and everything that is wrong at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffeport.caffe.net import ParamSpec, parse_net, read_net
from caffeport.errors import Problems, Refused, UnreadableFile


def names(text: str, **state: object) -> list[str]:
    return [layer.name for layer in parse_net(text, **state)]  # type: ignore[arg-type]


def layer(name: str, rules: str = "", kind: str = "ReLU") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "x" top: "y" {rules} }}\n'


@pytest.mark.parametrize(
    ("rules", "state", "taken"),
    [
        ("", {}, True),
        ("include { phase: TEST }", {}, True),
        ("include { phase: TRAIN }", {}, False),
        ("include { phase: TRAIN }", {"phase": "TRAIN"}, True),
        ("include { phase: TRAIN } include { phase: TEST }", {}, True),
        ("exclude { phase: TEST }", {}, False),
        ("exclude { phase: TRAIN }", {}, True),
        ("exclude { phase: TRAIN } exclude { stage: 'a' }", {"stages": ["a"]}, False),
        ("include { min_level: 2 }", {"level": 1}, False),
        ("include { min_level: 2 }", {"level": 2}, True),
        ("include { max_level: 2 }", {"level": 3}, False),
        ("include { max_level: 2 }", {"level": 2}, True),
        ("include { stage: 'a' stage: 'b' }", {"stages": ["a"]}, False),
        ("include { stage: 'a' stage: 'b' }", {"stages": ["b", "a", "c"]}, True),
        ("include { not_stage: 'a' }", {"stages": ["a"]}, False),
        ("include { not_stage: 'a' }", {"stages": ["b"]}, True),
        ("include { phase: TEST min_level: 1 stage: 'a' }", {"level": 1, "stages": ["a"]}, True),
        ("include { phase: TEST min_level: 1 stage: 'a' }", {"stages": ["a"]}, False),
        ("include { }", {}, True),
        ("exclude { }", {}, False),
    ],
)
def test_rules(rules: str, state: dict[str, object], taken: bool) -> None:
    assert names(layer("always") + layer("maybe", rules), **state) == ["always", "maybe"][: 1 + taken]


def test_the_nets_own_stages_count_and_its_phase_does_not() -> None:
    text = 'state { phase: TRAIN level: 5 stage: "a" }' + layer("l", "include { phase: TEST stage: 'a' max_level: 0 }")
    assert names(text) == ["l"]


def test_a_layer_as_defined() -> None:
    net = parse_net(
        """name: "net"
layer { name: "c" type: "Convolution" bottom: "a" bottom: "b" top: "t" loss_weight: 2 propagate_down: true
        param { name: "w" lr_mult: 3 share_mode: PERMISSIVE } param { decay_mult: 0 } phase: TRAIN
        convolution_param { num_output: 3 } }""",
        "net.prototxt",
    )
    (one,) = net
    assert (net.name, net.file, net.phase, len(net)) == ("net", "net.prototxt", "TEST", 1)
    assert (one.name, one.type, one.bottoms, one.tops) == ("c", "Convolution", ("a", "b"), ("t",))
    assert one.params == (ParamSpec("w", 3.0, 1.0, True), ParamSpec(decay_mult=0.0))
    assert (one.loss_weights, one.propagate_down, one.phase) == ((2.0,), (True,), "TRAIN")
    assert one.label == "net.prototxt:2: layer 'c' (Convolution)"
    assert net.layer("c") is one
    fields = one.fields()
    assert [problem.where for problem in fields.unread()] == [one.label]
    assert fields.sub("convolution_param").int("num_output") == 3
    assert fields.unread() == []
    with pytest.raises(KeyError):
        net.layer("x")


def test_everything_wrong_is_said_at_once() -> None:
    text = layer("both", "include { } exclude { }") + 'layer { name: "typeless" }\nlayerz { }\n' + layer("fine")
    with pytest.raises(Problems) as caught:
        parse_net(text, "n")
    said = str(caught.value)
    assert "n:1: layer 'both' (ReLU): include stands beside exclude" in said
    assert "n:2: layer: type is missing" in said
    assert "layerz" in said
    assert len(caught.value.problems) == 3


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(Refused, match="max_depth"):
        parse_net(layer("l", "include { max_depth: 2 }"))


def test_a_net_without_layers_in_a_phase_says_so() -> None:
    with pytest.raises(Refused, match="no layers in phase TRAIN"):
        parse_net(layer("l", "include { phase: TEST }"), phase="TRAIN")
    with pytest.raises(Refused, match="TRAIN or TEST"):
        parse_net(layer("l"), phase="test")


def test_text_and_binary_are_told_apart_by_content(golden: Path, tmp_path: Path) -> None:
    for source, name in (("net.prototxt", "text.caffemodel"), ("net.caffemodel", "binary.prototxt")):
        (tmp_path / name).write_bytes((golden / "formats/v2" / source).read_bytes())
    text, binary = (read_net(tmp_path / name) for name in ("text.caffemodel", "binary.prototxt"))
    shown = [[(one.name, one.type, one.bottoms, one.tops) for one in net] for net in (text, binary)]
    assert shown[0] == shown[1]
    assert "byte" in binary.layers[-1].label
    with pytest.raises(UnreadableFile, match="holds weights and no net"):
        read_net(golden / "formats/v2-hdf5/net.caffemodel.h5")
    with pytest.raises(UnreadableFile, match="no layers"):
        read_net(golden / "formats/mean-file/mean.binaryproto")


def test_every_format_is_the_same_net(golden: Path) -> None:
    wanted = [(one.type, one.name) for one in read_net(golden / "formats/v2/net.prototxt")]
    for folder in sorted((golden / "formats").iterdir()):
        if folder.name in ("mean-file", "v1-training-net", "v2-shuffled-extra-layers"):
            continue
        for path in folder.glob("net.*"):
            if path.suffix != ".h5":
                assert [(one.type, one.name) for one in read_net(path)][1:] == wanted[1:], path

"""The graph: versions of blobs, names, shared parameters, loss weights, free axes, and every refusal at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeport.batch import at_batch, free_axes
from caffeport.caffe.net import parse_net
from caffeport.errors import CaffeportError, Problems, Refused, UnknownLayer
from caffeport.graph import Graph, build

DATA = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }'


def net(*layers: str, phase: str = "TEST", head: str = DATA, shapes: dict[str, tuple[int, ...]] | None = None) -> Graph:
    return build(parse_net("\n".join([head, *(f"layer {{ {text} }}" for text in layers)]), "n.prototxt", phase), shapes)


def relu(name: str, bottom: str, top: str) -> str:
    return f'name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}"'


def dense(name: str, bottom: str, top: str, number: int = 3, more: str = "", inner: str = "") -> str:
    inside = f"inner_product_param {{ num_output: {number} {inner} }}"
    return f'name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {inside} {more}'


def refusal(*layers: str, phase: str = "TEST") -> str:
    with pytest.raises(CaffeportError) as caught:
        net(*layers, phase=phase)
    return str(caught.value)


# Versions of a blob.


def test_in_place_layers_make_versions() -> None:
    graph = net(relu("a", "x", "y"), relu("b", "y", "y"), relu("c", "y", "z"), relu("d", "y", "y"))
    made = {node.name: (node.bottoms[0].name, node.tops[0].name) for node in graph.nodes[1:]}
    assert made == {"a": ("x", "y@a"), "b": ("y@a", "y@b"), "c": ("y@b", "z"), "d": ("y@b", "y")}
    assert [value.name for value in graph.outputs] == ["z", "y"]


def test_a_version_does_not_take_a_blobs_name() -> None:
    graph = net(relu("a", "x", "y"), relu("b", "y", "y"), relu("c", "y", "y@a"), relu("d", "x", "y@a'"))
    names = [value.name for node in graph.nodes for value in node.tops]
    assert names == ["x", "y@a''", "y", "y@a", "y@a'"]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")), max_size=8))
def test_names_of_versions_are_unique(wires: list[tuple[str, str]]) -> None:
    made, layers = {"x"}, []
    for place, (bottom, top) in enumerate(wires):
        if bottom in made and (top == bottom or top not in made):
            name = f"y@{place % 2}" if place % 3 else "x"
            layers.append(relu(name, bottom, top))
            made.add(top)
    graph = net(*layers)
    names = [value.name for node in graph.nodes for value in node.tops]
    assert len(set(names)) == len(names)
    last = {value.blob: value.name for node in graph.nodes for value in node.tops}
    assert all(blob == name for blob, name in last.items())


def test_the_same_blob_twice_as_bottom_is_one_input_alone() -> None:
    graph = net('name: "e" type: "Eltwise" bottom: "x" bottom: "x" top: "y"')
    alone = graph.alone(graph.nodes[1])
    assert [value.name for value in alone.inputs] == ["x"]
    assert [value.name for value in alone.outputs] == ["y"]


def test_outputs_are_what_nobody_reads() -> None:
    graph = net(relu("a", "x", "p"), relu("b", "x", "q"), relu("c", "p", "r"))
    assert [value.blob for value in graph.outputs] == ["q", "r"]
    assert [value.blob for value in graph.inputs] == ["x"]
    assert net().outputs == ()


def test_a_bottom_that_nobody_makes() -> None:
    text = refusal(relu("a", "nowhere", "y"))
    assert text == "n.prototxt:2: layer 'a' (ReLU): bottom 'nowhere' is no top of a layer before; there are: 'x'"
    many = refusal(*(relu(f"l{k}", "x", f"t{k}") for k in range(9)), relu("a", "nowhere", "y"))
    assert many.endswith("there are: 't1', 't2', 't3', 't4', 't5', 't6', 't7', 't8' and others")


def test_a_layer_cannot_read_what_a_later_one_makes() -> None:
    assert "bottom 'z' is no top of a layer before" in refusal(relu("a", "z", "y"), relu("b", "x", "z"))


def test_a_blob_has_one_maker() -> None:
    text = refusal(relu("a", "x", "y"), relu("b", "x", "y"))
    assert text == "n.prototxt:3: layer 'b' (ReLU): top 'y' is made by another layer before; one maker a blob"
    assert "is made by another layer" in refusal('name: "s" type: "Split" bottom: "x" top: "y" top: "y"')


# Shared parameters.

SHARED = 'param { name: "w" }'


def test_parameters_of_one_name_are_one() -> None:
    graph = net(dense("a", "x", "y", 60), dense("b", "y", "z", 4, SHARED), dense("c", "y", "u", 4, SHARED))
    owner, sharer = graph.nodes[2].params, graph.nodes[3].params
    assert [param.owner for param in (*owner, *sharer)] == [None, None, (2, 0), None]
    assert graph.parameters == 60 * 60 + 60 + 60 * 4 + 4 + 4


def test_an_empty_name_shares_nothing() -> None:
    graph = net(dense("a", "x", "y", 4, 'param { name: "" }'), dense("b", "x", "z", 4, 'param { name: "" }'))
    assert all(param.owner is None for node in graph.nodes for param in node.params)


def test_shared_parameters_must_have_one_shape() -> None:
    text = refusal(dense("a", "x", "y", 4, SHARED), dense("b", "x", "z", 5, SHARED))
    assert text == (
        "n.prototxt:3: layer 'b' (InnerProduct): shares parameter 'w' of layer 'a' as 5x60, which is 4x60 there; "
        "shapes must be equal, or counts with share_mode: PERMISSIVE"
    )


def test_permissive_sharing_wants_equal_counts() -> None:
    permissive = 'param { name: "w" share_mode: PERMISSIVE }'
    turned = dense("b", "x", "z", 4, permissive, "transpose: true")
    graph = net(dense("a", "x", "y", 4, SHARED), turned)
    assert [node.params[0].shape for node in graph.nodes[1:]] == [(4, 60), (60, 4)]
    assert graph.nodes[2].params[0].owner == (1, 0)
    assert "shares parameter 'w'" in refusal(dense("a", "x", "y", 4, SHARED), dense("b", "x", "z", 5, permissive))


def test_a_layer_may_share_with_itself() -> None:
    both = 'param { name: "w" } param { name: "w" }'
    graph = net('name: "s" type: "Scale" bottom: "x" top: "y" scale_param { bias_term: true } ' + both)
    assert [param.owner for param in graph.nodes[1].params] == [None, (1, 0)]


def test_alone_a_layer_owns_its_parameters() -> None:
    graph = net(dense("a", "x", "y", 4, SHARED), dense("b", "x", "z", 4, SHARED))
    (node,) = graph.alone(graph.nodes[2]).nodes
    assert node.index == 0
    assert all(param.owner is None for param in node.params)


# Loss weights.


def test_losses_weigh_one_and_others_nothing_unless_told() -> None:
    loss = 'name: "l" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "l"'
    graph = net(relu("a", "x", "y") + " loss_weight: 0.5", loss)
    assert [node.loss_weights for node in graph.nodes] == [(0.0,), (0.5,), (1.0,)]
    assert net(relu("a", "x", "y"), loss + " loss_weight: 0.25").nodes[2].loss_weights == (0.25,)


def test_second_tops_of_losses_weigh_nothing() -> None:
    labels = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 4 dim: 5 } } }'
    loss = 'name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "l" top: "p"'
    assert net(loss, head=DATA + labels).nodes[-1].loss_weights == (1.0, 0.0)


def test_loss_weights_are_given_per_top_or_not_at_all() -> None:
    text = refusal('name: "s" type: "Split" bottom: "x" top: "y" top: "z" loss_weight: 1')
    assert text.endswith("loss_weight is given 1 times for 2 tops; one per top, or none")


# Shapes from outside, and the batch.


def test_shapes_from_outside() -> None:
    graph = net(dense("a", "x", "y", 7), shapes={"x": (9, 2, 2, 2)})
    assert graph.outputs[0].shape == (9, 7)
    assert graph.nodes[1].params[0].shape == (7, 8)
    with pytest.raises(Refused, match=r"n\.prototxt: has no input 'data'; its inputs: 'x'"):
        net(dense("a", "x", "y", 7), shapes={"data": (9, 2, 2, 2)})


def test_sides_that_follow_the_batch_are_free() -> None:
    graph = net(dense("a", "x", "y", 7), relu("b", "y", "z"))
    assert free_axes(graph) == {"x": (True, False, False, False), "y": (True, False), "z": (True, False)}
    wide = at_batch(graph, 3)
    assert wide is not None
    assert [value.shape for value in wide.outputs] == [(6, 7)]


def test_a_net_that_holds_its_batch_has_no_free_axis() -> None:
    fixed = net('name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 2 dim: 60 } }')
    assert at_batch(fixed, 2) is None
    assert free_axes(fixed) is None
    # The module itself would change with the batch.
    flat = net(dense("a", "x", "y", 7, inner="axis: 0"))
    assert free_axes(flat) is None


# Refusals.


def test_everything_that_is_wrong_comes_at_once() -> None:
    with pytest.raises(Problems) as caught:
        net(
            'name: "a" type: "Frobnicate" bottom: "x" top: "y"',
            'name: "b" type: "LRN" bottom: "x" top: "z" lrn_param { local_size: 4 }',
            'name: "c" type: "ReLU" bottom: "x" bottom: "x" top: "u" relu_param { slope: 1 }',
            'name: "d" type: "ReLU" bottom: "x" top: "v" relu_param { slope: 1 negative_slop: 2 }',
            'name: "e" type: "InnerProduct" bottom: "x" top: "w"',
        )
    lines = str(caught.value).splitlines()
    wanted = [
        "n.prototxt:2: layer 'a' (Frobnicate): no layer of type 'Frobnicate' is known",
        "n.prototxt:3: layer 'b' (LRN): local_size is 4; Caffe allows odd sizes only",
        "n.prototxt:4: layer 'c' (ReLU): has 2 bottoms; 1 bottoms are possible",
        "n.prototxt:5: layer 'd' (ReLU): relu_param.slope is 1 (line 5)",
        "n.prototxt:5: layer 'd' (ReLU): relu_param.negative_slop is 2 (line 5)",
        "n.prototxt:6: layer 'e' (InnerProduct): inner_product_param.num_output is missing",
    ]
    assert [line.startswith(start) for line, start in zip(lines, wanted, strict=True)] == [True] * len(wanted)
    assert isinstance(caught.value.problems[0], UnknownLayer)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('name: "s" type: "Split" bottom: "x"', "has 0 tops; 1 or more tops are possible"),
        ('name: "e" type: "Eltwise" bottom: "x" top: "y"', "has 1 bottoms; 2 or more bottoms are possible"),
        ('name: "s" type: "Scale" bottom: "x" bottom: "x" bottom: "x" top: "y"', "1 to 2 bottoms are possible"),
        (relu("r", "x", "y") + " propagate_down: true propagate_down: true", "propagate_down is given 2 times"),
        (relu("r", "x", "y") + " colour: 3", "colour is 3 (line 2)"),
    ],
)
def test_what_every_layer_is_checked_for(layer: str, message: str) -> None:
    assert message in refusal(layer)


def test_shapes_that_do_not_fit_name_their_layer() -> None:
    text = refusal('name: "e" type: "Concat" bottom: "x" bottom: "y" top: "z"', phase="TEST")
    assert "bottom 'y' is no top" in text
    fits = refusal(dense("a", "x", "y"), 'name: "e" type: "Concat" bottom: "x" bottom: "y" top: "z"')
    assert fits == (
        "n.prototxt:3: layer 'e' (Concat): bottom 1 is 2x3, bottom 0 is 2x3x4x5; they may differ on axis 1 only"
    )


def test_a_blob_is_no_larger_than_caffe_makes_one() -> None:
    huge = DATA.replace("dim: 5", "dim: 200000000")
    with pytest.raises(Refused, match=r"'in'.*: has a blob of .*, 4800000000 values; .* holds 2147483647 at most"):
        net(head=huge)
    message = refusal(dense("a", "x", "y", 2**31 - 1))
    assert "layer 'a' (InnerProduct): has a blob of" in message


def test_many_equal_names_take_no_longer_than_others() -> None:
    """Two thousand layers that overwrite one blob under one name: quadratic work would show."""
    graph = net(*[relu("a", "x", "x")] * 2000)
    assert len({value.name for node in graph.nodes for value in node.tops}) == 2001

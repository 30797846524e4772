"""The losses beside their definitions in float64: every setting, gradients, refusals."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from caffeport.caffe.encode import write_mean
from caffeport.errors import Refused

from .single import Single, check, graph_of

Array = np.ndarray
MODES = ("FULL", "VALID", "BATCH_SIZE", "NONE")


def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


def divisor(mode: str, labels: int, kept: int, outer: int) -> int:
    return max(1, {"FULL": labels, "VALID": kept, "BATCH_SIZE": outer, "NONE": 1}[mode])


def places(x: Array, label: Array, axis: int, ignore: int | None) -> list[tuple[tuple[int, ...], int]]:
    """Every place beside the class axis with its label, those that are ignored left out."""
    sides = (*x.shape[:axis], *x.shape[axis + 1 :])
    found = [(index, int(label.reshape(sides)[index])) for index in np.ndindex(*sides)]
    return [(index, value) for index, value in found if value != ignore]


def at(index: tuple[int, ...], axis: int, value: int | slice) -> tuple[int | slice, ...]:
    return (*index[:axis], value, *index[axis:])


def gradient_of(single: Single, *bottoms: Array, wrt: int = 0) -> Array:
    fed = [torch.tensor(array, requires_grad=True) for array in bottoms]
    top = single.module()(*fed)
    (top if isinstance(top, torch.Tensor) else top["out0"]).backward()
    grad = fed[wrt].grad
    return np.zeros(bottoms[wrt].shape) if grad is None else grad.numpy()


def labels(shape: tuple[int, ...], classes: int, ignore: int | None, seed: int = 1) -> Array:
    drawn = np.random.default_rng(seed).integers(0, classes, shape).astype(np.float64)
    if ignore is not None:
        drawn.reshape(-1)[::3] = ignore
    return drawn


@pytest.mark.parametrize(("mode", "ignore", "axis"), [*product(MODES, (None, 255, -1), (1, 2, -1))])
def test_softmax_with_loss(mode: str, ignore: int | None, axis: int) -> None:
    shape, given = (3, 4, 5, 2), axis
    axis %= 4
    side = (*shape[:axis], *shape[axis + 1 :])
    ignored = "" if ignore is None else f"ignore_label: {ignore}"
    layer = (
        f'type: "SoftmaxWithLoss" softmax_param {{ axis: {given} }} loss_param {{ {ignored} normalization: {mode} }}'
    )
    single = Single(layer, shape, side, tops=2)
    x, label = single.bottoms[0], labels(side, shape[axis], ignore)
    single.bottoms[1] = label
    prob, kept = softmax(x, axis), places(x, label, axis, ignore)
    over = divisor(mode, label.size, len(kept), int(np.prod(shape[:axis])))
    loss = -sum(np.log(prob[at(index, axis, value)]) for index, value in kept) / over
    single.agrees(np.asarray(loss), prob)
    wanted = np.zeros_like(x)
    for index, value in kept:
        wanted[at(index, axis, slice(None))] = prob[at(index, axis, slice(None))] / over
        wanted[at(index, axis, value)] -= 1 / over
    check([gradient_of(single, x, label)], [wanted], 1e-12)


@pytest.mark.parametrize(("old", "new"), [("true", "VALID"), ("false", "BATCH_SIZE")])
def test_the_older_normalize(old: str, new: str) -> None:
    text = 'type: "SoftmaxWithLoss" loss_param {{ ignore_label: 1 {} }}'
    both = [Single(text.format(part), (2, 4, 3), (2, 3)) for part in (f"normalize: {old}", f"normalization: {new}")]
    x, label = both[0].bottoms[0], labels((2, 3), 4, 1)
    check(both[0].torch(x, label), both[1].torch(x, label), 0.0)
    newer = Single(text.format(f"normalize: {old} normalization: FULL"), (2, 4, 3), (2, 3))
    full = Single(text.format("normalization: FULL"), (2, 4, 3), (2, 3))
    check(newer.torch(x, label), full.torch(x, label), 0.0)


def test_nothing_but_ignored_labels_is_no_loss() -> None:
    single = Single('type: "SoftmaxWithLoss" loss_param { ignore_label: 9 }', (2, 4), (2,))
    single.bottoms[1] = np.full(2, 9.0)
    single.agrees(np.asarray(0.0))


def test_a_hopeless_class_counts_as_flt_min_and_still_learns() -> None:
    single = Single('type: "SoftmaxWithLoss"', (1, 2), (1,))
    x, label = np.array([[500.0, 0.0]]), np.array([1.0])
    check(single.torch(x, label), [np.asarray(-np.log(np.finfo(np.float32).tiny))], 1e-7)
    check(single.onnx(x, label), [np.asarray(-np.log(np.finfo(np.float32).tiny))], 1e-6)
    check([gradient_of(single, x, label)], [np.array([[1.0, -1.0]])], 1e-12)


def test_weights_of_classes_as_in_segnet() -> None:
    weights = (0.5, 2.0, 0.25)
    parts = " ".join(f"class_weighting: {w}" for w in weights)
    layer = f'type: "SoftmaxWithLoss" loss_param {{ weight_by_label_freqs: true ignore_label: 7 {parts} }}'
    single = Single(layer, (2, 3, 4), (2, 4))
    x, label = single.bottoms[0], labels((2, 4), 3, 7)
    single.bottoms[1] = label
    kept, prob = places(x, label, 1, 7), softmax(x, 1)
    loss = -sum(weights[value] * np.log(prob[at(index, 1, value)]) for index, value in kept) / len(kept)
    single.agrees(np.asarray(loss))


def infogain_file(folder: Path, matrix: Array) -> Path:
    path = folder / "infogain.binaryproto"
    write_mean(matrix[None].astype(np.float32), path)
    return path


@pytest.mark.parametrize(("mode", "ignore", "from_file"), [*product(MODES, (None, 2), (False, True))])
def test_infogain_loss(mode: str, ignore: int | None, from_file: bool, tmp_path: Path) -> None:
    shape, side, axis = (2, 3, 4, 5), (2, 3, 5), 2
    matrix = np.random.default_rng(3).uniform(0, 1, (4, 4)).astype(np.float32).astype(np.float64)
    source = f'source: "{infogain_file(tmp_path, matrix)}"' if from_file else ""
    ignored = "" if ignore is None else f"ignore_label: {ignore}"
    layer = (
        f'type: "InfogainLoss" infogain_loss_param {{ axis: 2 {source} }} '
        f"loss_param {{ {ignored} normalization: {mode} }}"
    )
    single = Single(layer, shape, side, *([] if from_file else [(1, 1, 4, 4)]), tops=2)
    x, label = single.bottoms[0], labels(side, 4, ignore)
    single.bottoms = [x, label] if from_file else [x, label, matrix[None, None]]
    prob, kept = softmax(x, axis), places(x, label, axis, ignore)
    over = divisor(mode, label.size, len(kept), 6)
    loss, wanted = 0.0, np.zeros_like(x)
    for index, value in kept:
        column = at(index, axis, slice(None))
        loss -= float(matrix[value] @ np.log(prob[column])) / over
        wanted[column] = (prob[column] * matrix[value].sum() - matrix[value]) / over
    single.agrees(np.asarray(loss), prob)
    check([gradient_of(single, *single.bottoms)], [wanted], 1e-12)


@pytest.mark.parametrize(("mode", "ignore"), [*product(("", *MODES), (None, 255))])
def test_sigmoid_cross_entropy_loss(mode: str, ignore: int | None) -> None:
    shape = (3, 2, 5)
    named = f"normalization: {mode}" if mode else ""
    ignored = "" if ignore is None else f"ignore_label: {ignore}"
    single = Single(f'type: "SigmoidCrossEntropyLoss" loss_param {{ {ignored} {named} }}', shape, (3, 10))
    x, target = single.bottoms[0], np.random.default_rng(2).uniform(0, 1, (3, 10))
    if ignore is not None:
        target.reshape(-1)[::4] = ignore
    single.bottoms[1] = target
    kept = target.reshape(shape) != ignore
    over = divisor(mode or "BATCH_SIZE", target.size, int(kept.sum()), 3)
    p, t = 1 / (1 + np.exp(-x)), target.reshape(shape)
    with np.errstate(invalid="ignore"):
        each = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    single.agrees(np.asarray(each[kept].sum() / over))
    check([gradient_of(single, x, target)], [np.where(kept, (p - t) / over, 0)], 1e-12)
    check([gradient_of(single, x, target, wrt=1)], [np.zeros((3, 10))], 0.0)


def test_sigmoid_cross_entropy_at_zero_and_far_out() -> None:
    single = Single('type: "SigmoidCrossEntropyLoss"', (1, 3), (1, 3))
    x, target = np.array([[0.0, 200.0, -200.0]]), np.array([[1.0, 0.0, 1.0]])
    single.bottoms = [x, target]
    single.agrees(np.asarray(np.log(2) + 400))
    check([gradient_of(single, x, target)], [np.array([[-0.5, 1.0, -1.0]])], 1e-12)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_loss(norm: str) -> None:
    single = Single(f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', (3, 2, 2), (3, 1))
    x, label = single.bottoms[0], np.array([[1.0], [3.0], [0.0]])
    x[0, 0, 0] = -1.0  # exactly on the hinge: no gradient
    single.bottoms = [x, label]
    sign = np.ones((3, 4))
    sign[np.arange(3), label[:, 0].astype(int)] = -1
    hinge = np.maximum(0, 1 + sign * x.reshape(3, 4))
    single.agrees(np.asarray((hinge if norm == "L1" else hinge**2).sum() / 3))
    slope = sign * (hinge > 0) if norm == "L1" else 2 * hinge * sign
    check([gradient_of(single, x, label)], [(slope / 3).reshape(x.shape)], 1e-12)


def test_multinomial_logistic_loss_with_a_probability_of_zero() -> None:
    single = Single('type: "MultinomialLogisticLoss"', (2, 3), (2,))
    p, label = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]), np.array([1.0, 2.0])
    single.bottoms = [p, label]
    single.agrees(np.asarray(-(np.log(0.5) + np.log(1e-20)) / 2))
    check([gradient_of(single, p, label)], [np.array([[0, -1.0, 0], [0, 0, -0.5e20]])], 1e-12)


def test_euclidean_loss_of_unlike_shapes_teaches_both_bottoms() -> None:
    single = Single('type: "EuclideanLoss"', (3, 2, 2), (3, 4))
    a, b = single.bottoms
    difference = a - b.reshape(a.shape)
    single.agrees(np.asarray((difference**2).sum() / 6))
    check([gradient_of(single, a, b)], [difference / 3], 1e-12)
    check([gradient_of(single, a, b, wrt=1)], [-difference.reshape(b.shape) / 3], 1e-12)


@pytest.mark.parametrize("legacy", [False, True])
def test_contrastive_loss(legacy: bool) -> None:
    margin = 1.5
    text = f"margin: {margin} legacy_version: {str(legacy).lower()}"
    single = Single(f'type: "ContrastiveLoss" contrastive_loss_param {{ {text} }}', (5, 3), (5, 3), (5,))
    a, b = single.bottoms[:2]
    b[1] = a[1] + 0.1
    b[2] = a[2]  # a distance of 0 has a gradient of 0, not NaN
    similar = np.array([1.0, 0.0, 0.0, 0.9, 2.0])  # 0.9 is cut off to 0
    single.bottoms[2] = similar
    difference, alike = a - b, similar >= 1
    square = (difference**2).sum(1)
    distance = np.sqrt(square)
    short = np.maximum(0, margin - (square if legacy else distance))
    single.agrees(np.asarray(np.where(alike, square, short if legacy else short**2).sum() / 10))
    pull = -(short > 0).astype(float) if legacy else -short / (distance + 1e-4)
    wanted = difference * np.where(alike, 1, pull)[:, None] / 5
    for wrt, sign in ((0, 1), (1, -1)):
        check([gradient_of(single, a, b, similar, wrt=wrt)], [sign * wanted], 1e-12)


@pytest.mark.parametrize(("top_k", "axis", "ignore"), [*product((1, 2, 4), (1, -1), (None, 1, 255))])
def test_accuracy(top_k: int, axis: int, ignore: int | None) -> None:
    shape, classes = ((3, 4, 6), 4) if axis == 1 else ((3, 6, 4), 4)
    ignored = "" if ignore is None else f"ignore_label: {ignore}"
    layer = f'type: "Accuracy" accuracy_param {{ top_k: {top_k} axis: {axis} {ignored} }}'
    single = Single(layer, shape, (3, 6), tops=2)
    # Whole numbers, so that many scores tie.
    x = np.random.default_rng(4).integers(0, 3, shape).astype(np.float64)
    label = labels((3, 6), classes, ignore)
    label[label == 3] = 2  # a class without any label
    single.bottoms = [x, label]
    hits, seen, own = np.zeros(classes), np.zeros(classes), axis % 3
    for index, value in places(x, label, own, ignore):
        scores = x[at(index, own, slice(None))]
        seen[value] += 1
        hits[value] += (scores >= scores[value]).sum() - 1 < top_k
    share = hits.sum() / seen.sum()
    single.agrees(np.asarray(share), np.divide(hits, seen, out=np.zeros(classes), where=seen > 0))


def test_accuracy_without_a_label_is_zero() -> None:
    single = Single('type: "Accuracy" accuracy_param { ignore_label: 0 }', (2, 3), (2,))
    single.bottoms[1] = np.zeros(2)
    single.agrees(np.asarray(0.0))


LABELLED: list[tuple[str, tuple[tuple[int, ...], ...]]] = [
    ('type: "SoftmaxWithLoss" loss_param { normalization: FULL }', ((2, 4, 3), (2, 3))),
    ('type: "SoftmaxWithLoss" loss_param { normalization: BATCH_SIZE }', ((2, 4, 3), (2, 3))),
    ('type: "InfogainLoss" infogain_loss_param { axis: 2 }', ((2, 3, 4), (2, 3), (1, 1, 4, 4))),
    ('type: "SigmoidCrossEntropyLoss"', ((2, 4), (2, 4))),
    ('type: "HingeLoss"', ((2, 4), (2,))),
    ('type: "EuclideanLoss"', ((2, 4), (2, 4))),
    ('type: "ContrastiveLoss"', ((2, 4), (2, 4), (2,))),
    ('type: "Accuracy"', ((2, 4), (2,))),
]


@pytest.mark.parametrize(("layer", "shapes"), LABELLED, ids=[layer for layer, _ in LABELLED])
def test_any_batch_runs(layer: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    wide = [shape if shape == (1, 1, 4, 4) else (5, *shape[1:]) for shape in shapes]
    small, large = Single(layer, *shapes), Single(layer, *wide)
    fed = [np.abs(array) for array in large.bottoms]
    fed[1] = labels(wide[1], 2, None) if "Euclidean" not in layer else fed[1]
    check(small.torch(*fed), large.torch(*fed), 0.0)
    if "Infogain" not in layer:  # its matrix has no batch, so the net's batch is fixed in ONNX
        check(small.onnx(*fed), large.torch(*fed), 1e-5)


def refused(layer: str, *shapes: tuple[int, ...], tops: int = 1) -> Callable[[], str]:
    def message() -> str:
        with pytest.raises(Refused) as caught:
            graph_of(layer, *shapes, tops=tops)
        return str(caught.value)

    return message


REFUSED = {
    "labels do not fit": (
        refused('type: "SoftmaxWithLoss"', (2, 5, 3), (2, 4)),
        "2x5x3 has 6 places beside axis 1, the labels are 2x4; one label a place is needed",
    ),
    "another batch": (
        refused('type: "EuclideanLoss"', (2, 5), (3, 5)),
        "bottom 0 is 2x5, bottom 1 is 3x5; the first sides must be equal",
    ),
    "other counts": (
        refused('type: "EuclideanLoss"', (2, 5), (2, 4)),
        "bottom 0 is 2x5, bottom 1 is 2x4; behind the first side their counts must be equal",
    ),
    "targets": (
        refused('type: "SigmoidCrossEntropyLoss"', (2, 5), (2,)),
        "bottom 0 is 2x5, bottom 1 is 2; their counts must be equal",
    ),
    "rows": (refused('type: "HingeLoss"', (2, 5), (2, 2)), "the labels are 2x2; one label a picture is possible"),
    "unknown norm": (refused('type: "HingeLoss" hinge_loss_param { norm: L3 }', (2, 5), (2,)), "L3"),
    "mode": (refused('type: "SoftmaxWithLoss" loss_param { normalization: SOME }', (2, 5), (2,)), "SOME"),
    "top_k": (
        refused('type: "Accuracy" accuracy_param { top_k: 6 }', (2, 5), (2,)),
        "top_k is 6 for 5 classes; 5 is the most",
    ),
    "axis": (refused('type: "Accuracy" accuracy_param { axis: 2 }', (2, 5), (2,)), "axis is 2 on a bottom of 2 axes"),
    "no matrix": (refused('type: "InfogainLoss"', (2, 5), (2,)), "infogain_loss_param.source is missing"),
    "matrix": (
        refused('type: "InfogainLoss"', (2, 5), (2,), (5, 4)),
        "the matrix has 20 numbers for 5 classes; 25 are needed",
    ),
    "old normalize": (
        refused('type: "InfogainLoss" loss_param { normalize: true }', (2, 5), (2,), (5, 5)),
        "normalize is set; Caffe takes normalization only",
    ),
    "pairs": (
        refused('type: "ContrastiveLoss"', (2, 5), (2, 4), (2,)),
        "the pairs are 2x5 and 2x4; two bottoms N x C are needed",
    ),
    "similar": (refused('type: "ContrastiveLoss"', (2, 5), (2, 5), (3,)), "bottom 2 is 3 for 2 pairs"),
    "class weights": (
        refused('type: "SoftmaxWithLoss" loss_param { weight_by_label_freqs: true class_weighting: 1 }', (2, 5), (2,)),
        "class_weighting is given 1 times for 5 classes; once per class",
    ),
    "frequencies": (
        refused('type: "SoftmaxWithLoss" loss_param { weight_by_label_freqs: true }', (2, 5), (2,)),
        "weight_by_label_freqs is true without a class_weighting",
    ),
    "tops": (refused('type: "SoftmaxWithLoss"', (2, 5), (2,), tops=3), "has 3 tops; 1 to 2 tops are possible"),
    "unread": (refused('type: "SoftmaxWithLoss" loss_param { smoothing: 1 }', (2, 5), (2,)), "loss_param.smoothing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_say_what_is_wrong(name: str) -> None:
    message, part = REFUSED[name]
    assert part in message()


def test_a_matrix_of_many_classes_belongs_into_a_bottom(tmp_path: Path) -> None:
    path = infogain_file(tmp_path, np.zeros((257, 257)))
    message = refused(f'type: "InfogainLoss" infogain_loss_param {{ source: "{path}" }}', (2, 257), (2,))()
    assert "source holds 66049 numbers; 256^2 at most; give the matrix as third bottom" in message

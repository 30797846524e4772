"""SSD's losses and prior boxes away from the golden cases' settings, against loops in float64."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch

from caffeport.errors import CaffeportError
from tests.layers.single import Single, graph_of

RNG = np.random.default_rng(5)


def test_prior_boxes_cut_sizes_down_to_whole_pixels() -> None:
    param = (
        "min_size: 12.9 max_size: 27.9 aspect_ratio: 2 aspect_ratio: 2 aspect_ratio: 1 clip: true img_h: 50 img_w: 80"
    )
    one = Single(f'type: "PriorBox" prior_box_param {{ {param} }}', (1, 2, 3, 2), (1, 3, 40, 60))
    boxes = []
    for i in range(3):
        for j in range(2):
            for w, h in ((12, 12), (18, 18), (12 * 2**0.5, 12 / 2**0.5), (12 / 2**0.5, 12 * 2**0.5)):
                x, y = (j + 0.5) * 40, (i + 0.5) * 50 / 3
                boxes += [(x - w / 2) / 80, (y - h / 2) / 50, (x + w / 2) / 80, (y + h / 2) / 50]
    one.agrees(np.array([[np.clip(boxes, 0, 1), [0.1] * len(boxes)]]))


def test_prior_boxes_do_not_follow_the_batch() -> None:
    one = Single('type: "PriorBox" prior_box_param { min_size: 9 }', (4, 2, 3, 2), (4, 3, 40, 60))
    assert one.graph.outputs[0].shape == (1, 2, 24)


def straight(d: float, square: float) -> float:
    return d * d * square / 2 if abs(d) < 1 / square else abs(d) - 0.5 / square


@pytest.mark.parametrize(("bottoms", "sigma"), [(2, 1.0), (3, 1.0), (4, 3.0)])
def test_smooth_l1_loss_and_its_gradient(bottoms: int, sigma: float) -> None:
    one = Single(f'type: "SmoothL1Loss" smooth_l1_loss_param {{ sigma: {sigma} }}', *[(4, 3, 2)] * bottoms)
    x, target, inside, outside = [*one.bottoms, *[np.ones((4, 3, 2))] * 2][:4]
    d, square = inside * (x - target), sigma**2
    loss = sum(straight(each, square) * weight for each, weight in zip(d.flat, outside.flat, strict=True)) / 4
    slope = np.where(np.abs(d) < 1 / square, d * square, np.sign(d)) / 4
    # Fast R-CNN's own three-bottom layer leaves the weight out of the gradient.
    slope = slope * (inside * outside if bottoms == 4 else 1)
    module = one.module()
    fed = [torch.from_numpy(bottom).requires_grad_(k < 2) for k, bottom in enumerate(one.bottoms)]
    got = module(*fed)
    got = next(iter(got.values())) if isinstance(got, dict) else got
    got.backward()
    np.testing.assert_allclose(got.item(), loss, rtol=1e-12)
    for tensor, sign in zip(fed[:2], (1, -1), strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(tensor.grad.numpy(), sign * slope, atol=1e-12)


CLASSES, PRIORS = 3, 10


def scene(shared: bool) -> list[np.ndarray]:
    """Predictions for three pictures; the second has no true box."""
    low = RNG.uniform(-0.1, 0.6, (PRIORS, 2))
    prior = np.concatenate([low, low + RNG.uniform(0.2, 0.5, (PRIORS, 2))], 1)
    truth = [
        [0, 1, 0, 0.1, 0.1, 0.5, 0.6, 0],
        [0, 2, 1, 0.3, 0.2, 0.9, 0.8, 1],
        [2, 1, 0, 0.2, 0.5, 0.6, 0.9, 0],
        [-1] * 8,
    ]
    return [
        RNG.normal(0, 1, (3, PRIORS * 4 * (1 if shared else CLASSES))),
        RNG.normal(0, 1, (3, PRIORS * CLASSES)),
        np.stack([prior.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)])[None],
        np.array(truth, np.float64)[None, None],
    ]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    sides = [float(min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    if min(sides) <= 0:
        return 0.0
    return sides[0] * sides[1] / (sum(float((c[2] - c[0]) * (c[3] - c[1])) for c in (a, b)) - sides[0] * sides[1])


def matched(prior: np.ndarray, truth: np.ndarray, o: dict[str, Any]) -> tuple[list[int], list[float]]:
    index, table = [-1] * PRIORS, np.array([[overlap(p, t[3:7]) for t in truth] for p in prior])
    if o["inside"]:
        index = [-2 if min(p) < 0 or max(p) > 1 else -1 for p in prior]
        table[np.array(index) == -2] = 0
    best = table.max(1)
    pool = set(range(len(truth)))
    while pool:
        i, j = max(((i, j) for i in range(PRIORS) if index[i] == -1 for j in pool), key=lambda place: table[place])
        if table[i, j] <= 1e-6:
            break
        index[i], best[i] = j, table[i, j]
        pool.remove(j)
    if o["each"]:
        for i in range(PRIORS):
            j = int(table[i].argmax())
            if index[i] == -1 and table[i, j] >= 0.35:
                index[i] = j
    return index, list(best)


def multibox(bottoms: list[np.ndarray], o: dict[str, Any]) -> float:
    location, scores, priors, truth = bottoms
    prior, variance = priors[0].reshape(2, -1, 4)
    place, confidence, matches = 0.0, 0.0, 0
    for n in range(3):
        own = [t for t in truth[0, 0] if t[0] == n and (o["difficult"] or not t[7])]
        index, best = matched(prior, np.array(own), o) if own else ([-1] * PRIORS, [0.0] * PRIORS)
        label = [int(own[j][1]) if j > -1 else 0 for j in index]
        x, conf, places = scores[n].reshape(PRIORS, CLASSES), [], []
        for i in range(PRIORS):
            if o["softmax"]:
                conf.append(log(sum(exp(v) for v in x[i])) - x[i][label[i]])
            else:
                conf.append(sum(log(1 + exp(v)) - v * (c == label[i]) for c, v in enumerate(x[i])))
            if index[i] < 0:
                places.append(0.0)
                continue
            t, size = own[index[i]][3:7], prior[i][2:] - prior[i][:2]
            shift = (t[:2] + t[2:] - prior[i][:2] - prior[i][2:]) / 2 / size
            want = np.concatenate([shift, np.log((t[2:] - t[:2]) / size)]) / variance[i]
            got = location[n].reshape(PRIORS, -1, 4)[i, 0 if o["shared"] else label[i]]
            if o["bp_inside"]:
                got = np.where((prior[i] < 0) | (prior[i] > 1), want, got)
            places.append(sum(straight(d, 1) if o["smooth"] else d * d / 2 for d in got - want))
        if o["mining"] == "MAX_NEGATIVE":
            able = [i for i in range(PRIORS) if own and index[i] == -1 and best[i] < 0.3]
            worst = sorted(able, key=lambda i: -conf[i])[: int(sum(j > -1 for j in index) * 1.5)]
        elif o["mining"] == "HARD_EXAMPLE":
            chosen = sorted(range(PRIORS), key=lambda i: -(conf[i] + places[i]))[:4] if own else []
            worst = [i for i in chosen if index[i] == -1]
            index = [j if i in chosen or j == -2 else -1 for i, j in enumerate(index)]
        else:
            worst = [i for i in range(PRIORS) if index[i] < 0]
        positive = [i for i in range(PRIORS) if index[i] > -1]
        matches += len(positive)
        place += 2 * sum(places[i] for i in positive)
        confidence += sum(conf[i] for i in (*positive, *worst))
    counts = {"VALID": matches, "FULL": 3 * PRIORS, "BATCH_SIZE": 3, "NONE": 1}
    return float(place * o["parts"][0] + confidence * o["parts"][1]) / max(counts[o["norm"]], 1)


USUAL: dict[str, Any] = {
    "mining": "MAX_NEGATIVE", "softmax": True, "smooth": True, "shared": True, "each": True, "difficult": True,
    "inside": False, "bp_inside": False, "norm": "VALID", "parts": (True, True),
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mining": "HARD_EXAMPLE"},
        {"mining": "NONE"},
        {"mining": "NONE", "shared": False},
        {"softmax": False, "smooth": False},
        {"each": False, "difficult": False},
        {"inside": True},
        {"bp_inside": True},
        {"norm": "FULL"},
        {"norm": "BATCH_SIZE", "parts": (True, False)},
        {"norm": "NONE", "parts": (False, True)},
    ],
    ids=str,
)
def test_multibox_loss(change: dict[str, Any]) -> None:
    o = USUAL | change
    bottoms = scene(o["shared"])
    yes = {True: "true", False: "false"}
    text = (
        f"num_classes: {CLASSES} code_type: CENTER_SIZE loc_weight: 2 overlap_threshold: 0.35 neg_pos_ratio: 1.5 "
        f"neg_overlap: 0.3 sample_size: 4 mining_type: {o['mining']} share_location: {yes[o['shared']]} "
        f"conf_loss_type: {'SOFTMAX' if o['softmax'] else 'LOGISTIC'} "
        f"loc_loss_type: {'SMOOTH_L1' if o['smooth'] else 'L2'} "
        f"match_type: {'PER_PREDICTION' if o['each'] else 'BIPARTITE'} use_difficult_gt: {yes[o['difficult']]} "
        f"ignore_cross_boundary_bbox: {yes[o['inside']]} bp_inside: {yes[o['bp_inside']]}"
    )
    down = " ".join(f"propagate_down: {yes[part]}" for part in (*o["parts"], False, False))
    layer = f'type: "MultiBoxLoss" multibox_loss_param {{ {text} }} loss_param {{ normalization: {o["norm"]} }} {down}'
    one = Single(layer, *(x.shape for x in bottoms))
    one.bottoms = bottoms
    for standalone in (False, True):
        np.testing.assert_allclose(one.torch(standalone=standalone)[0], multibox(bottoms, o), rtol=1e-10)


SHAPES = [(3, 40), (3, 30), (1, 2, 40), (1, 1, 4, 8)]


@pytest.mark.parametrize(
    ("layer", "shapes", "said"),
    [
        ('type: "Permute" permute_param { order: 1 order: 1 }', [(2, 3)], "each axis once"),
        ('type: "Permute" permute_param { order: 2 }', [(2, 3)], "axes of the bottom"),
        ('type: "Normalize"', [(2,)], "2 to 4"),
        (
            'type: "PriorBox" prior_box_param { variance: 0.1 }',
            [(1, 2, 3, 3), (1, 3, 9, 9)],
            "one or more positive sizes",
        ),
        (
            'type: "PriorBox" prior_box_param { min_size: 9 max_size: 5 }',
            [(1, 2, 3, 3), (1, 3, 9, 9)],
            "one above each min_size",
        ),
        (
            'type: "PriorBox" prior_box_param { min_size: 9 step: 1 step_h: 2 }',
            [(1, 2, 3, 3), (1, 3, 9, 9)],
            "step is set",
        ),
        (
            'type: "MultiBoxLoss" multibox_loss_param { num_classes: 3 share_location: false }',
            SHAPES,
            "mining_type: NONE goes with it",
        ),
        (
            'type: "MultiBoxLoss" multibox_loss_param { num_classes: 3 use_prior_for_matching: false }',
            SHAPES,
            "use_prior_for_matching is false",
        ),
        ('type: "MultiBoxLoss" multibox_loss_param { num_classes: 4 }', SHAPES, "40 locations and 30 scores"),
        ('type: "SmoothL1Loss" smooth_l1_loss_param { sigma: 0 }', [(2, 3), (2, 3)], "above 0"),
    ],
)
def test_refusals(layer: str, shapes: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(CaffeportError) as caught:
        graph_of(layer, *shapes)
    assert said in str(caught.value)

"""Layers that propose, pool and report regions, against their definitions written out as loops in float64."""

from __future__ import annotations

from itertools import product
from math import ceil, exp, floor
from pathlib import Path

import numpy as np
import pytest
import torch

from caffeport.emit.torch import module
from caffeport.errors import CaffeportError
from caffeport.verify.case import open_case
from tests.layers.single import Single, check, graph_of

RNG = np.random.default_rng(11)


def away(x: float) -> float:
    """Rounds halves away from zero, as C does."""
    return float(np.sign(x)) * floor(abs(x) + 0.5)


ROIS = np.array(
    [[0, 3.5, 2.5, 40, 30], [1, -8, -9, 200, 90], [1, 30, 20, 10, 5], [0, 60, 60, 90, 90], [1, 8, 8, 8, 8]], np.float64
)


def test_roi_pooling() -> None:
    one = Single(
        'type: "ROIPooling" roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.25 }', (2, 4, 9, 11), (5, 5)
    )
    x = one.bottoms[0]
    top = np.zeros((5, 4, 3, 2))
    for r, (n, *box) in enumerate(ROIS):
        x1, y1, x2, y2 = (int(away(side * 0.25)) for side in box)
        height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i, j in product(range(3), range(2)):
            rows = range(max(floor(i * height / 3) + y1, 0), min(ceil((i + 1) * height / 3) + y1, 9))
            columns = range(max(floor(j * width / 2) + x1, 0), min(ceil((j + 1) * width / 2) + x1, 11))
            if len(rows) and len(columns):
                top[r, :, i, j] = x[int(n)][:, rows.start : rows.stop, columns.start : columns.stop].max((1, 2))
    one.bottoms = [x, ROIS]
    one.agrees(top)


def test_psroi_pooling() -> None:
    param = "spatial_scale: 0.25 output_dim: 2 group_size: 3"
    one = Single(f'type: "PSROIPooling" psroi_pooling_param {{ {param} }}', (2, 18, 9, 11), (5, 5))
    x, top = one.bottoms[0], np.zeros((5, 2, 3, 3))
    for r, (n, *box) in enumerate(ROIS):
        x1, y1 = (away(side) * 0.25 for side in box[:2])
        x2, y2 = ((away(side) + 1) * 0.25 for side in box[2:])
        height, width = max(y2 - y1, 0.1) / 3, max(x2 - x1, 0.1) / 3
        for d, i, j in product(range(2), range(3), range(3)):
            rows = (min(max(floor(i * height + y1), 0), 9), min(max(ceil((i + 1) * height + y1), 0), 9))
            columns = (min(max(floor(j * width + x1), 0), 11), min(max(ceil((j + 1) * width + x1), 0), 11))
            part = x[int(n), (d * 3 + i) * 3 + j, rows[0] : rows[1], columns[0] : columns[1]]
            top[r, d, i, j] = part.mean() if part.size else 0
    one.bottoms = [x, ROIS]
    one.agrees(top)


def iou(a: np.ndarray, b: np.ndarray, more: float) -> float:
    sides = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + more for k in (0, 1)]
    if min(sides) <= 0:
        return 0.0
    areas = [max(box[2] - box[0] + more, 0) * max(box[3] - box[1] + more, 0) for box in (a, b)]
    return float(sides[0] * sides[1] / (sum(areas) - sides[0] * sides[1]))


def suppressed(boxes: np.ndarray, scores: np.ndarray, limit: float, more: float, eta: float = 1.0) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(iou(boxes[i], boxes[k], more) <= limit for k in kept):
            kept.append(int(i))
            limit = limit * eta if limit > 0.5 else limit
    return kept


def test_anchors_of_py_faster_rcnn() -> None:
    from caffeport.layers.proposing import python_anchors

    assert [list(anchor) for anchor in python_anchors((0.5, 1, 2), (8, 16, 32))] == [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]


def proposals(
    bottoms: list[np.ndarray], anchors: list[list[float]], most: tuple[int, int], limit: float, drop: bool
) -> tuple[np.ndarray, np.ndarray]:
    scores, moves, info = bottoms
    rows, marks = [], []
    for n in range(len(scores)):
        height, width, count = *scores.shape[2:], len(anchors)
        boxes, found = [], []
        for i, j, a in product(range(height), range(width), range(count)):
            x1, y1, x2, y2 = np.array(anchors[a]) + np.array([j, i, j, i]) * 16
            w, h = x2 - x1 + 1, y2 - y1 + 1
            dx, dy, dw, dh = moves[n, 4 * a : 4 * a + 4, i, j]
            cx, cy, w, h = dx * w + x1 + 0.5 * w, dy * h + y1 + 0.5 * h, exp(dw) * w, exp(dh) * h
            box = np.clip([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 0, info[n][[1, 0, 1, 0]] - 1)
            large = box[2] - box[0] + 1 >= 16 * info[n][-1] and box[3] - box[1] + 1 >= 16 * info[n][2]
            if large or not drop:
                boxes.append(box)
                found.append(scores[n, count + a, i, j] if large else 0.0)
        order = np.argsort(-np.array(found), kind="stable")[: most[0]]
        kept = order[suppressed(np.array(boxes)[order], np.array(found)[order], limit, 1)[: most[1]]]
        rows.append(np.concatenate([np.full((len(kept), 1), n), np.array(boxes)[kept]], 1))
        marks.append(np.array(found)[kept])
    return np.concatenate(rows), np.concatenate(marks)


def drawn(count: int, cells: tuple[int, int], pictures: int = 1, more: int = 0) -> list[np.ndarray]:
    return [
        RNG.uniform(0.01, 1, (pictures, 2 * count, *cells)),
        RNG.normal(0, 0.3, (pictures, 4 * count, *cells)),
        np.array([[100.0, 140.0, 1.2, *[1.5] * more]] * pictures),
    ]


def test_python_proposal_layer() -> None:
    settings = "'feat_stride': 16 \\n'scales': !!python/tuple [2, 4]"
    layer = f'python_param {{ module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "{settings}" }}'
    from caffeport.layers.proposing import python_anchors

    one = Single(f'type: "Python" {layer}', (1, 12, 6, 8), (1, 24, 6, 8), (1, 3), tops=2)
    one.bottoms = drawn(6, (6, 8))
    anchors = [list(anchor) for anchor in python_anchors((0.5, 1, 2), (2, 4))]
    rows, marks = proposals(one.bottoms, anchors, (6000, 300), 0.7, True)
    assert 20 < len(rows) < 300
    one.agrees(rows, marks[:, None])


@pytest.mark.parametrize("pictures", [1, 2])
def test_proposal(pictures: int) -> None:
    param = "ratio: 0.5 ratio: 1.5 scale: 1 scale: 4 pre_nms_topn: 150 post_nms_topn: 12 nms_thresh: 0.5"
    bottoms = drawn(4, (6, 8), pictures, 1)
    one = Single(f'type: "Proposal" proposal_param {{ {param} }}', *(x.shape for x in bottoms), tops=2)
    one.bottoms = bottoms
    anchors = []
    for ratio, scale in product((0.5, 1.5), (1, 4)):
        w = (256 / ratio) ** 0.5
        half = [int(w * scale - 1 + 0.5) / 2, int(w * ratio * scale - 1 + 0.5) / 2]
        anchors.append([7.5 - half[0], 7.5 - half[1], 7.5 + half[0], 7.5 + half[1]])
    rows, marks = proposals(bottoms, anchors, (150, 12), 0.5, False)
    assert len(rows) == 12 * pictures
    one.agrees(rows, marks)


def decoded(prior: np.ndarray, variance: np.ndarray, shift: np.ndarray, code: str) -> np.ndarray:
    low, high = prior[:2], prior[2:]
    shift = shift * variance
    moved: np.ndarray = prior + shift * (np.tile(high - low, 2) if code == "CORNER_SIZE" else 1)
    if code != "CENTER_SIZE":
        return moved
    centre, half = (low + high) / 2 + shift[:2] * (high - low), np.exp(shift[2:]) * (high - low) / 2
    return np.concatenate([centre - half, centre + half])


def detections(
    bottoms: list[np.ndarray], classes: int, background: int, code: str, limits: tuple[float, float, float, int, int]
) -> np.ndarray:
    location, scores, priors = bottoms
    threshold, limit, eta, top_k, keep = limits
    n, (prior, variance) = len(scores), priors[0].reshape(2, -1, 4)
    location, scores, rows = location.reshape(n, len(prior), -1, 4), scores.reshape(n, len(prior), classes), []
    for picture in range(n):
        found = []
        for label in range(classes):
            if label == background:
                continue
            which = label if location.shape[2] > 1 else 0
            boxes = np.array(
                [decoded(*each, code) for each in zip(prior, variance, location[picture, :, which], strict=True)]
            )
            score = scores[picture, :, label]
            order = [k for k in np.argsort(-score, kind="stable") if score[k] > threshold][
                : top_k if top_k > -1 else None
            ]
            for k in suppressed(boxes[order], score[order], limit, 0, eta):
                found.append([picture, label, score[order[k]], *boxes[order[k]]])
        if -1 < keep < len(found):
            best = sorted(range(len(found)), key=lambda k: -found[k][2])[:keep]
            found = [found[k] for k in sorted(best)]
        rows += found
    return np.array(rows or [[picture, *[-1] * 6] for picture in range(n)], np.float64)[None, None]


@pytest.mark.parametrize("code", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize(
    ("param", "limits"),
    [
        ("", (-1e30, 0.3, 1, -1, -1)),
        ("confidence_threshold: 0.4 nms_param { nms_threshold: 0.6 top_k: 7 }", (0.4, 0.6, 1, 7, -1)),
        ("keep_top_k: 5 nms_param { nms_threshold: 0.45 }", (-1e30, 0.45, 1, -1, 5)),
        ("nms_param { nms_threshold: 0.9 eta: 0.8 }", (-1e30, 0.9, 0.8, -1, -1)),
        ("confidence_threshold: 2", (2, 0.3, 1, -1, -1)),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_detection_output(code: str, param: str, limits: tuple[float, float, float, int, int], shared: bool) -> None:
    classes, boxes, background = 3, 14, 1
    text = f"num_classes: 3 background_label_id: 1 code_type: {code} share_location: {str(shared).lower()} {param}"
    shapes = (2, boxes * 4 * (1 if shared else classes)), (2, boxes * classes), (1, 2, boxes * 4)
    one = Single(f'type: "DetectionOutput" detection_output_param {{ {text} }}', *shapes)
    low = RNG.uniform(0, 0.6, (boxes, 2))
    prior = np.concatenate([low, low + RNG.uniform(0.1, 0.4, (boxes, 2))], 1)
    priors = np.stack([prior.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], boxes)])[None]
    # Large shifts turn some corner-coded boxes inside out: those have no area and suppress nothing.
    one.bottoms = [
        RNG.normal(0, 3, shapes[0]) * (code != "CENTER_SIZE") + RNG.normal(0, 1, shapes[0]),
        RNG.uniform(0, 1, shapes[1]),
        priors,
    ]
    wanted = detections(one.bottoms, classes, background, code, limits)
    one.agrees(wanted, onnx=limits[2] == 1)
    if limits[2] < 1:
        with pytest.raises(CaffeportError, match="threshold that falls"):
            one.onnx()


def test_detection_output_finds_another_number_in_another_batch() -> None:
    text = "num_classes: 2 code_type: CENTER_SIZE nms_param { nms_threshold: 0.4 top_k: 4 } confidence_threshold: 0.5"
    one = Single(f'type: "DetectionOutput" detection_output_param {{ {text} }}', (1, 24), (1, 12), (1, 2, 24))
    low = RNG.uniform(0, 0.6, (6, 2))
    prior = np.concatenate([low, low + 0.2], 1)
    priors = np.stack([prior.ravel(), np.tile([0.1, 0.1, 0.2, 0.2], 6)])[None]
    for pictures in (1, 3):
        bottoms = [RNG.normal(0, 1, (pictures, 24)), RNG.uniform(0, 1, (pictures, 12)), priors]
        wanted = detections(bottoms, 2, 0, "CENTER_SIZE", (0.5, 0.4, 1, 4, -1))
        check(one.torch(*bottoms), [wanted], 1e-12)
        check(one.onnx(*bottoms), [wanted], 1e-5)


def test_detection_output_can_be_exported() -> None:
    text = "num_classes: 3 code_type: CENTER_SIZE nms_param { nms_threshold: 0.4 top_k: 4 } keep_top_k: 3"
    one = Single(f'type: "DetectionOutput" detection_output_param {{ {text} }}', (2, 24), (2, 18), (1, 2, 24))
    one.bottoms[2][0, 0] = np.tile([0.1, 0.2, 0.5, 0.7], 6) + np.repeat(RNG.uniform(0, 0.3, 6), 4)
    tensors = tuple(torch.from_numpy(x) for x in one.bottoms)
    net = one.module().eval()
    exported = torch.export.export(net, tensors).module()
    torch.testing.assert_close(exported(*tensors), net(*tensors))
    none = (tensors[0], torch.full_like(tensors[1], -1e39), tensors[2])
    torch.testing.assert_close(exported(*none), net(*none))


def test_a_whole_ssd_net_can_be_exported(golden: Path) -> None:
    case = open_case(golden / "ssd" / "ssd" / "tiny")
    net = module(case.graph, {name: torch.from_numpy(np.array(array)) for name, array in case.state.items()}).eval()
    picture = torch.from_numpy(case.inputs["data"])
    exported = torch.export.export(net, (picture,)).module()
    for x in (picture, picture * 0.1):
        torch.testing.assert_close(exported(x), net(x))


def yolo(
    bottoms: list[np.ndarray],
    classes: int,
    anchors: list[list[tuple[float, float]]],
    scales: list[int],
    limits: tuple[float, float],
) -> np.ndarray:
    rows = []
    for x, own, scale in zip(bottoms, anchors, scales, strict=True):
        n, _, side, _ = x.shape
        for b, s, k in product(range(n), range(side * side), range(len(own))):
            i, j = divmod(s, side)
            numbers = x[b, k * (5 + classes) : (k + 1) * (5 + classes), i, j]
            some = 1 / (1 + np.exp(-numbers))
            cx, cy = (j + some[0]) / side, (i + some[1]) / side
            w, h = np.exp(numbers[2]) * own[k][0] / (side * scale), np.exp(numbers[3]) * own[k][1] / (side * scale)
            for label in range(classes):
                if some[4] * some[5 + label] > limits[0]:
                    rows.append(
                        [0, label + 1, some[4] * some[5 + label], cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
                    )
    if not rows:
        return np.array([[b, *[-1] * 6] for b in range(len(bottoms[0]))], np.float64)[None, None]
    found = np.array(rows)
    kept: list[int] = []
    for i in np.argsort(-found[:, 2], kind="stable"):
        if all(iou(found[i, 3:], found[k, 3:], 0) < limits[1] for k in kept):
            kept.append(int(i))
    return found[kept][None, None]


@pytest.mark.parametrize("threshold", [0.3, 0.99])
def test_yolov3_detection_output(threshold: float) -> None:
    param = (
        f"num_classes: 3 num_box: 2 confidence_threshold: {threshold} nms_threshold: 0.45 mask_group_num: 2 "
        "mask: 2 mask: 3 mask: 0 mask: 1 anchors_scale: 32 anchors_scale: 16 "
        + " ".join(f"biases: {side}" for side in (10, 14, 23, 27, 37, 58, 81, 82))
    )
    one = Single(
        f'type: "Yolov3DetectionOutput" yolov3_detection_output_param {{ {param} }}', (2, 16, 3, 3), (2, 16, 5, 5)
    )
    anchors = [[(37.0, 58.0), (81.0, 82.0)], [(10.0, 14.0), (23.0, 27.0)]]
    wanted = yolo(one.bottoms, 3, anchors, [32, 16], (threshold, 0.45))
    assert wanted.shape[2] == 2 if threshold > 0.9 else wanted.shape[2] > 10
    one.agrees(wanted)


@pytest.mark.parametrize(
    ("layer", "shapes", "said"),
    [
        ('type: "ROIPooling" roi_pooling_param { pooled_h: 3 }', [(1, 2, 3, 3), (4, 5)], "pooled_w is 0; 1 or more"),
        ('type: "ROIPooling" roi_pooling_param { pooled_h: 3 pooled_w: 3 }', [(1, 2, 3, 3), (4, 4)], "regions of 5"),
        (
            'type: "PSROIPooling" psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 3 }',
            [(1, 17, 3, 3), (4, 5)],
            "18: output_dim * group_size * group_size",
        ),
        ('type: "Proposal" proposal_param { scale: 8 }', [(1, 2, 3, 3), (1, 4, 3, 3), (1, 3)], "one or more of each"),
        (
            'type: "Python" python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "x: 1" }',
            [(1, 18, 3, 3), (1, 36, 3, 3), (1, 3)],
            "feat_stride, and perhaps scales",
        ),
        (
            'type: "Python" python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" '
            f'param_str: "feat_stride: {"9" * 400}" }}',
            [(1, 18, 3, 3), (1, 36, 3, 3), (1, 3)],
            "numbers above 0, below a million",
        ),
        ('type: "Proposal" proposal_param { ratio: inf scale: 8 }', [(1, 2, 3, 3), (1, 4, 3, 3), (1, 3)], "above 0"),
        (
            'type: "DetectionOutput" detection_output_param { num_classes: 2 }',
            [(1, 16), (1, 9), (1, 2, 16)],
            "16 locations and 9 scores for 4 priors",
        ),
        (
            'type: "Yolov3DetectionOutput" yolov3_detection_output_param { num_classes: 1 mask_group_num: 2 }',
            [(1, 18, 3, 3)],
            "mask_group_num is 2",
        ),
    ],
)
def test_refusals(layer: str, shapes: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(CaffeportError) as caught:
        graph_of(layer, *shapes)
    assert said in str(caught.value)

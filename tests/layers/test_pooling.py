"""Pooling and SPP in every geometry, beside the plain loops that define them."""

from __future__ import annotations

from itertools import product
from math import ceil, floor, inf

import numpy as np
import pytest
import torch

from caffeport.errors import Refused

from .single import Single, check, graph_of

FLT_MAX, FLT_MIN = 3.4028234663852886e38, 1.1754943508222875e-38

Pair = tuple[int, int]


def spans(size: int, kernel: int, stride: int, pad: int, up: bool, any_pad: bool) -> list[tuple[int, int]]:
    """Start and end of every window along an axis, not yet clipped to the bottom."""
    count = (ceil if up else floor)((size + 2 * pad - kernel) / stride) + 1
    if any_pad and (count - 1) * stride >= size + pad:
        count -= 1
    return [(i * stride - pad, min(i * stride - pad + kernel, size + pad)) for i in range(count)]


def pooled(
    x: np.ndarray, method: str, kernel: Pair, stride: Pair, pad: Pair, up: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What Caffe's loops give, and the mask."""
    rows, columns = (spans(x.shape[2 + i], kernel[i], stride[i], pad[i], up, any(pad)) for i in (0, 1))
    top = np.zeros((*x.shape[:2], len(rows), len(columns)))
    mask = np.full(top.shape, -1.0)
    for (i, (r0, r1)), (j, (c0, c1)) in product(enumerate(rows), enumerate(columns)):
        part = x[:, :, max(r0, 0) : r1, max(c0, 0) : c1] if r1 > max(r0, 0) and c1 > max(c0, 0) else x[:, :, :0, :0]
        flat = part.reshape(*x.shape[:2], -1)
        if method == "MAX" and flat.shape[2]:
            best = flat.argmax(2)
            top[:, :, i, j] = flat.max(2)
            mask[:, :, i, j] = (best // part.shape[3] + max(r0, 0)) * x.shape[3] + best % part.shape[3] + max(c0, 0)
        elif method == "MAX":
            top[:, :, i, j] = -FLT_MAX
        elif method == "AVE":
            area = (r1 - r0) * (c1 - c0)
            top[:, :, i, j] = flat.sum(2) / area if area else np.nan
        else:
            top[:, :, i, j] = (flat**2).sum(2) / (flat.sum(2) + FLT_MIN)
    return top, mask


def geometries() -> list[tuple[Pair, Pair, Pair, Pair, bool]]:
    """Small ones, drawn once by seed: sides, kernel, stride, pad, rounded up; degenerate ones included."""
    rng = np.random.default_rng(7)
    found: list[tuple[Pair, Pair, Pair, Pair, bool]] = []
    while len(found) < 300:
        drawn = [rng.integers(least, 7, 2) for least in (1, 1, 1, 0)]
        sides, kernel, stride, pad = ((int(high), int(wide)) for high, wide in drawn)
        pad = (pad[0] % kernel[0], pad[1] % kernel[1]) if rng.random() < 0.6 else (0, 0)
        up = bool(rng.integers(2))
        if all(spans(n, k, s, p, up, any(pad)) for n, k, s, p in zip(sides, kernel, stride, pad, strict=True)):
            found.append((sides, kernel, stride, pad, up))
    return found


def text_of(method: str, kernel: Pair, stride: Pair, pad: Pair, up: bool) -> str:
    sides = {"kernel": kernel, "stride": stride, "pad": pad}
    fields = " ".join(
        f"{name}_h: {pair[0]} {name}_w: {pair[1]}" for name, pair in sides.items() if name != "pad" or any(pair)
    )
    return f'type: "Pooling" pooling_param {{ pool: {method} {fields} {"" if up else "round_mode: FLOOR"} }}'


@pytest.mark.parametrize("method", ["MAX", "AVE", "STOCHASTIC"])
def test_every_geometry(method: str) -> None:
    for place, (sides, kernel, stride, pad, up) in enumerate(geometries()):
        pad = (0, 0) if method == "STOCHASTIC" else pad
        if not all(spans(n, k, s, p, up, any(pad)) for n, k, s, p in zip(sides, kernel, stride, pad, strict=True)):
            continue
        one = Single(text_of(method, kernel, stride, pad, up), (2, 3, *sides))
        one.bottoms = [np.abs(one.bottoms[0]) if method == "STOCHASTIC" else one.bottoms[0]]
        want, _ = pooled(one.bottoms[0], method, kernel, stride, pad, up)
        check(one.torch(), [want], 1e-12)
        if place % 3 == 0:
            check(one.onnx(), [want], 1e-5)


def test_masks_in_every_geometry() -> None:
    for place, (sides, kernel, stride, pad, up) in enumerate(geometries()):
        one = Single(text_of("MAX", kernel, stride, pad, up), (2, 3, *sides), tops=2)
        # Whole numbers: of equal ones the first counts.
        one.bottoms = [np.random.default_rng(place).integers(-2, 3, (2, 3, *sides)).astype(float)]
        want = pooled(one.bottoms[0], "MAX", kernel, stride, pad, up)
        check(one.torch(), want, 0)
        if place % 3 == 0:
            check(one.onnx(), want, 1e-7)


def test_a_mask_over_everything() -> None:
    one = Single('type: "Pooling" pooling_param { pool: MAX global_pooling: true }', (2, 3, 4, 5), tops=2)
    one.agrees(*pooled(one.bottoms[0], "MAX", (4, 5), (1, 1), (0, 0), True))


@pytest.mark.parametrize("layer", ["global_pooling: true", "kernel_size: 4", "kernel_size: 4 stride: 2 pad: 3"])
def test_of_equal_maxima_the_first_takes_the_gradient(layer: str) -> None:
    one = Single(f'type: "Pooling" pooling_param {{ pool: MAX {layer} }}', (1, 1, 4, 4))
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    one.module()(x)[..., :1, :1].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 0, 0] == 1
    assert x.grad.sum() == 1


def test_chance_draws_by_share() -> None:
    one = Single(
        'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }', (1, 1, 2, 2), phase="TRAIN"
    )
    made = one.module()
    assert made.training
    torch.manual_seed(0)
    shares = torch.tensor([[1.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    x = shares.expand(8000, 1, 2, 2).clone().requires_grad_()
    top = made(x)
    for value, share in ((1.0, 1 / 8), (0.0, 0.0), (3.0, 3 / 8), (4.0, 4 / 8)):
        assert abs((top == value).double().mean().item() - share) < 0.02
    top.sum().backward()
    # The gradient goes to what was drawn, and nowhere else.
    assert x.grad is not None
    assert torch.equal((x.grad * x).sum((2, 3), keepdim=True), top)
    assert torch.equal(x.grad.sum((2, 3), keepdim=True), torch.ones_like(top))


def test_the_forks_ceil_mode() -> None:
    tops = [
        Single(f'type: "Pooling" pooling_param {{ kernel_size: 2 stride: 2 {text} }}', (1, 1, 5, 5)).torch()[0]
        for text in ("ceil_mode: false", "round_mode: FLOOR", "ceil_mode: true")
    ]
    assert [top.shape[2:] for top in tops] == [(2, 2), (2, 2), (3, 3)]


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(("sides", "height"), [((9, 13), 3), ((4, 4), 3), ((7, 10), 2), ((5, 6), 1), ((16, 23), 4)])
def test_pyramid(method: str, sides: Pair, height: int) -> None:
    one = Single(f'type: "SPP" spp_param {{ pool: {method} pyramid_height: {height} }}', (2, 3, *sides))
    levels = []
    for bins in (2**level for level in range(height)):
        kernel = (ceil(sides[0] / bins), ceil(sides[1] / bins))
        pad = ((kernel[0] * bins - sides[0] + 1) // 2, (kernel[1] * bins - sides[1] + 1) // 2)
        levels.append(pooled(one.bottoms[0], method, kernel, kernel, pad, True)[0])
    want = levels[0] if height == 1 else np.concatenate([level.reshape(2, -1) for level in levels], 1)
    assert np.abs(want).max() < inf
    one.agrees(want)


def test_a_pyramid_by_chance_without_pads() -> None:
    one = Single('type: "SPP" spp_param { pool: STOCHASTIC pyramid_height: 2 }', (2, 3, 4, 6))
    one.bottoms = [np.abs(one.bottoms[0])]
    levels = [pooled(one.bottoms[0], "STOCHASTIC", k, k, (0, 0), True)[0].reshape(2, -1) for k in ((4, 6), (2, 3))]
    one.agrees(np.concatenate(levels, 1))


@pytest.mark.parametrize(
    ("layer", "shape", "tops", "message"),
    [
        ('"Pooling" pooling_param { kernel_size: 3 pad: 3 }', (1, 2, 5, 5), 1, "pad is (3, 3) with kernel (3, 3)"),
        ('"Pooling" pooling_param { kernel_size: 3 }', (1, 2, 5), 1, "bottom 0 is 1x2x5; four axes are wanted"),
        (
            '"Pooling" pooling_param { kernel_size: 3 }',
            (1, 2, 3, 5, 5),
            1,
            "bottom 0 is 1x2x3x5x5; four axes are wanted",
        ),
        ('"Pooling" pooling_param { kernel_size: 7 }', (1, 2, 5, 5), 1, "kernel 7 is larger than the padded bottom, 5"),
        ('"Pooling" pooling_param { pool: AVE kernel_size: 2 }', (1, 2, 5, 5), 2, "pool is AVE with two tops"),
        (
            '"Pooling" pooling_param { kernel_size: 2 kernel_h: 2 kernel_w: 2 }',
            (1, 2, 5, 5),
            1,
            "kernel_size is set beside",
        ),
        ('"Pooling" pooling_param { kernel_size: 2 stride_h: 2 }', (1, 2, 5, 5), 1, "go together"),
        ('"Pooling" pooling_param { global_pooling: true kernel_size: 2 }', (1, 2, 5, 5), 1, "beside global_pooling"),
        (
            '"Pooling" pooling_param { global_pooling: true stride: 2 }',
            (1, 2, 5, 5),
            1,
            "global_pooling has a pad or a stride",
        ),
        ('"Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 pad: 1 }', (1, 2, 5, 5), 1, "pad is set with pool"),
        ('"Pooling" pooling_param { kernel_size: 2 stride: 0 }', (1, 2, 5, 5), 1, "stride is (0, 0)"),
        ('"SPP" spp_param { pyramid_height: 0 }', (1, 2, 5, 5), 1, "pyramid_height is 0"),
        ('"SPP" spp_param { pyramid_height: 3 }', (1, 2, 3, 3), 1, "level 2 on 3x3: pad is (1, 1) with kernel (1, 1)"),
        ('"SPP" spp_param { pool: STOCHASTIC pyramid_height: 2 }', (1, 2, 3, 3), 1, "level 1 needs a pad"),
        ('"LRN" lrn_param { local_size: 4 }', (1, 2, 3, 3), 1, "local_size is 4; Caffe allows odd sizes only"),
        ('"LRN" lrn_param { local_size: 3 }', (1, 2, 3), 1, "bottom 0 is 1x2x3; four axes are wanted"),
    ],
)
def test_refusals(layer: str, shape: tuple[int, ...], tops: int, message: str) -> None:
    with pytest.raises(Refused) as caught:
        graph_of(f"type: {layer}", shape, tops=tops)
    assert message in str(caught.value)


@pytest.mark.parametrize("size", [1, 3, 9])
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_lrn(size: int, region: str) -> None:
    fields = f"local_size: {size} alpha: 0.7 beta: 0.6 k: 1.5 norm_region: {region}"
    one = Single(f'type: "LRN" lrn_param {{ {fields} }}', (2, 4, 5, 3))
    x, half = one.bottoms[0], size // 2
    want = np.zeros_like(x)
    for c, i, j in product(*map(range, x.shape[1:])):
        if region == "ACROSS_CHANNELS":
            part, area, k = x[:, max(c - half, 0) : c + half + 1, i, j], size, 1.5
        else:
            part, area, k = x[:, c, max(i - half, 0) : i + half + 1, max(j - half, 0) : j + half + 1], size**2, 1.0
        total = (part**2).reshape(2, -1).sum(1)
        want[:, c, i, j] = x[:, c, i, j] * (k + 0.7 / area * total) ** -0.6
    one.agrees(want)

"""Layers of forks against their definitions, written out as loops in float64."""

from __future__ import annotations

import numpy as np
import pytest

from caffeport.errors import CaffeportError
from tests.layers.single import Single, graph_of

RNG = np.random.default_rng(7)


def resized(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, corners on corners."""
    n, c, h, w = x.shape
    top = np.zeros((n, c, height, width))
    for i in range(height):
        for j in range(width):
            y = i * (h - 1) / (height - 1) if height > 1 else 0
            z = j * (w - 1) / (width - 1) if width > 1 else 0
            a, b = int(y), int(z)
            a2, b2 = min(a + 1, h - 1), min(b + 1, w - 1)
            u, v = y - a, z - b
            upper = (1 - v) * x[:, :, a, b] + v * x[:, :, a, b2]
            lower = (1 - v) * x[:, :, a2, b] + v * x[:, :, a2, b2]
            top[:, :, i, j] = (1 - u) * upper + u * lower
    return top


@pytest.mark.parametrize(
    ("param", "crop", "size"),
    [
        ("height: 9 width: 4", (0, 0), (9, 4)),
        ("zoom_factor: 3", (0, 0), (13, 16)),
        ("shrink_factor: 2", (0, 0), (3, 3)),
        ("shrink_factor: 2 zoom_factor: 3", (0, 0), (7, 7)),
        ("zoom_factor: 2 height: 90 width: 90", (0, 0), (9, 11)),
        ("height: 1 width: 7", (0, 0), (1, 7)),
        ("height: 8 width: 8 pad_beg: -1 pad_end: -2", (1, 2), (8, 8)),
    ],
)
def test_interp(param: str, crop: tuple[int, int], size: tuple[int, int]) -> None:
    one = Single(f'type: "Interp" interp_param {{ {param} }}', (2, 3, 5, 6))
    x = one.bottoms[0][:, :, crop[0] : 5 - crop[1], crop[0] : 6 - crop[1]]
    one.agrees(resized(x, *size))


def test_interp_takes_the_second_bottoms_size() -> None:
    one = Single('type: "Interp" interp_param { use_blob_size: true }', (2, 3, 5, 6), (2, 1, 8, 4))
    one.agrees(resized(one.bottoms[0], 8, 4))


def test_upsample_alone_repeats_pixels() -> None:
    one = Single('type: "Upsample" upsample_param { scale: 3 }', (2, 3, 4, 5))
    one.agrees(one.bottoms[0].repeat(3, 2).repeat(3, 3))


@pytest.mark.parametrize(
    ("param", "size"),
    [
        ("scale: 2", (6, 8)),
        ("", (6, 8)),
        ("scale: 2 pad_out_h: true", (5, 8)),
        ("scale_h: 2 scale_w: 3", (6, 12)),
        ("scale: 2 upsample_h: 7 upsample_w: 9", (7, 9)),
    ],
)
def test_upsample_with_a_mask_puts_values_back(param: str, size: tuple[int, int]) -> None:
    one = Single(f'type: "Upsample" upsample_param {{ {param} }}', (2, 3, 3, 4), (2, 3, 3, 4))
    x = one.bottoms[0]
    mask = np.stack([RNG.permutation(size[0] * size[1])[:12] for _ in range(6)]).reshape(2, 3, 3, 4).astype(float)
    top = np.zeros((2, 3, size[0] * size[1]))
    for n, c, i, j in np.ndindex(*x.shape):
        top[n, c, int(mask[n, c, i, j])] = x[n, c, i, j]
    one.bottoms = [x, mask]
    for got in (one.torch(), one.torch(standalone=True), one.onnx()):
        np.testing.assert_allclose(got[0], top.reshape(2, 3, *size), atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_reorg_moves_as_darknet_does(reverse: bool) -> None:
    one = Single(f'type: "Reorg" reorg_param {{ stride: 2 reverse: {str(reverse).lower()} }}', (2, 8, 4, 6))
    x = one.bottoms[0]
    n, c, h, w, s = 2, 8, 4, 6, 2
    less, flat, top = c // (s * s), x.ravel(), np.zeros(x.size)
    for b, k, j, i in np.ndindex(n, c, h, w):
        here = i + w * (j + h * (k + c * b))
        c2, offset = k % less, k // less
        there = i * s + offset % s + w * s * (j * s + offset // s + h * s * (c2 + less * b))
        if reverse:
            top[there] = flat[here]
        else:
            top[here] = flat[there]
    one.agrees(top.reshape((n, less, h * s, w * s) if reverse else (n, c * s * s, h // s, w // s)))


def test_shuffle_channel() -> None:
    one = Single('type: "ShuffleChannel" shuffle_channel_param { group: 3 }', (2, 12, 2, 5))
    x, top = one.bottoms[0], np.zeros((2, 12, 2, 5))
    for group in range(3):
        for place in range(4):
            top[:, place * 3 + group] = x[:, group * 4 + place]
    one.agrees(top)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3)])
def test_axpy(shape: tuple[int, ...]) -> None:
    one = Single('type: "Axpy"', shape, (2, 3, 4, 5), (2, 3, 4, 5))
    a, x, y = one.bottoms
    one.agrees(a.reshape(2, 3, 1, 1) * x + y)


@pytest.mark.parametrize(
    ("param", "slope", "most"), [("", 0, 6), ("negative_slope: 0.1", 0.1, 6), ("threshold: 1", 0, 1)]
)
def test_relu6(param: str, slope: float, most: float) -> None:
    one = Single(f'type: "ReLU6" relu6_param {{ {param} }}', (2, 3, 4))
    one.bottoms = [one.bottoms[0] * 5]
    x = one.bottoms[0]
    one.agrees(np.minimum(np.maximum(x, 0) + slope * np.minimum(x, 0), most))


def test_crelu() -> None:
    one = Single('type: "CReLU"', (2, 3, 4, 5))
    x = one.bottoms[0]
    one.agrees(np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], 1))


def test_crop_center() -> None:
    sizes = "crop_size: 0 crop_size: 1 crop_size: 2 crop_size: 0"
    one = Single(f'type: "CropCenter" crop_center_param {{ {sizes} }}', (2, 5, 7, 3))
    one.agrees(one.bottoms[0][:, 1:4, 2:5])


def test_depthwise_convolution_is_convolution() -> None:
    one = Single(
        'type: "DepthwiseConvolution" convolution_param { num_output: 3 group: 3 kernel_size: 3 pad: 1 stride: 2 }',
        (2, 3, 6, 5),
    )
    one.agrees(depthwise(one.bottoms[0], one.params[0], one.params[1], 1, 2, 1))


def test_convolution_depthwise_takes_group_and_outputs_from_the_channels() -> None:
    one = Single(
        'type: "ConvolutionDepthwise" convolution_param { num_output: 9 kernel_size: 3 pad: 1 stride: 1 dilation: 2 }',
        (2, 3, 6, 5),
    )
    assert one.node.params[0].shape == (3, 1, 3, 3)
    one.agrees(depthwise(one.bottoms[0], one.params[0], one.params[1], 1, 1, 2))


def depthwise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, pad: int, stride: int, dilation: int) -> np.ndarray:
    n, c, h, w = x.shape
    reach = dilation * 2 + 1
    sides = [(side + 2 * pad - reach) // stride + 1 for side in (h, w)]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    top = np.zeros((n, c, *sides))
    for k, i, j in np.ndindex(c, *sides):
        window = padded[:, k, i * stride : i * stride + reach : dilation, j * stride : j * stride + reach : dilation]
        top[:, k, i, j] = (window * weight[k, 0]).sum((1, 2)) + bias[k]
    return top


def normalised(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float, scale: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    mean, variance, scale, shift = (blob.reshape(1, -1, 1, 1) for blob in (mean, variance, scale, shift))
    top: np.ndarray = (x - mean) / np.sqrt(variance + eps) * scale + shift
    return top


FILLERS = "slope_filler { value: 1 } bias_filler { value: 0 }"


@pytest.mark.parametrize("param", [f"bn_param {{ {FILLERS} eps: 1e-3 }}", "bn_param { frozen: true eps: 1e-3 }"])
def test_bn_of_tsn_takes_stored_statistics(param: str) -> None:
    one = Single(f'type: "BN" {param}', (2, 3, 4, 5))
    one.params[3] = np.abs(one.params[3])
    assert [blob.shape for blob in one.params] == [(1, 3)] * 4
    scale, shift, mean, variance = one.params
    one.agrees(normalised(one.bottoms[0], mean, variance, 1e-3, scale, shift))


def test_bn_of_tsn_is_told_by_four_params() -> None:
    one = Single('type: "BN" param {} param {} param {} param {}', (2, 3, 4, 5))
    assert len(one.params) == 4


def test_bn_of_tsn_in_training() -> None:
    one = Single('type: "BN" bn_param { momentum: 0.75 slope_filler {} }', (2, 3, 4, 5), phase="TRAIN")
    x, (scale, shift, mean, variance) = one.bottoms[0], one.params
    module = one.module()
    import torch

    got = module(torch.from_numpy(x))
    got = next(iter(got.values())) if isinstance(got, dict) else got
    own, spread = x.mean((0, 2, 3)), x.var((0, 2, 3))
    np.testing.assert_allclose(got.detach().numpy(), normalised(x, own, spread, 1e-5, scale, shift), atol=1e-12)
    stored = {name.rsplit(".", 1)[-1]: tensor.numpy() for name, tensor in module.state_dict().items()}
    np.testing.assert_allclose(stored["mean"].ravel(), 0.75 * mean.ravel() + 0.25 * own, atol=1e-12)
    np.testing.assert_allclose(stored["variance"].ravel(), 0.75 * variance.ravel() + 0.25 * spread, atol=1e-12)


@pytest.mark.parametrize("param", ["bn_param { scale_filler {} shift_filler {} }", "param {} param {}"])
def test_bn_of_segnet_takes_the_batchs_statistics_in_every_phase(param: str) -> None:
    one = Single(f'type: "BN" {param}', (2, 3, 4, 5))
    x = one.bottoms[0]
    assert [blob.shape for blob in one.params] == [(1, 3, 1, 1)] * 2
    one.agrees(normalised(x, x.mean((0, 2, 3)), x.var((0, 2, 3)), 1e-9, *one.params))


def test_bn_of_segnet_for_inference_only_scales_and_shifts() -> None:
    one = Single('type: "BN" bn_param { bn_mode: INFERENCE scale_filler {} shift_filler {} }', (2, 3, 4, 5))
    one.agrees(one.bottoms[0] * one.params[0] + one.params[1])


def test_bn_of_the_first_pspnet() -> None:
    param = "scale_filler {} shift_filler {} var_eps: 1e-2 decay: 0.05"
    for average in (True, False):
        one = Single(f'type: "BN" bn_param {{ {param} moving_average: {str(average).lower()} }}', (2, 3, 4, 5))
        one.params[3] = np.abs(one.params[3])
        x, (scale, shift, mean, variance) = one.bottoms[0], one.params
        if not average:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
        one.agrees(normalised(x, mean, variance, 1e-2, scale, shift))


@pytest.mark.parametrize(
    ("layer", "shapes", "said"),
    [
        ('type: "BN"', [(2, 3, 4, 5)], "does not tell whose BN this is"),
        ('type: "BN" bn_param { bn_mode: LEARN frozen: true }', [(2, 3, 4, 5)], "fields of several forks: TSN, SegNet"),
        ('type: "Upsample" upsample_param { scale: 3 pad_out_h: true }', [(1, 1, 2, 2)] * 2, "goes with a scale of 2"),
        (
            'type: "Upsample" upsample_param { scale: 1 }',
            [(1, 1, 2, 2)] * 2,
            "scale is (1, 1) beside a mask; 2 or more",
        ),
        ('type: "Upsample" upsample_param { upsample_h: 4 upsample_w: 1 }', [(1, 1, 2, 2)] * 2, "upsample_w 1; 2 or"),
        ('type: "Upsample" upsample_param { scale: 2 pad_out_h: true }', [(1, 1, 2, 2)], "pad_out_h"),
        ('type: "Interp"', [(1, 1, 2, 2)], "tells no size"),
        ('type: "Interp" interp_param { height: 3 width: 3 pad_beg: 1 }', [(1, 1, 2, 2)], "0 or less"),
        ('type: "Reorg" reorg_param { stride: 2 }', [(1, 6, 4, 4)], "4 divides its channels"),
        ('type: "ShuffleChannel" shuffle_channel_param { group: 4 }', [(1, 6, 4, 4)], "4 (group) divides"),
        ('type: "Axpy"', [(2, 3, 1, 2), (2, 3, 4, 4), (2, 3, 4, 4)], "one number per channel"),
        ('type: "CropCenter" crop_center_param { crop_size: 1 }', [(3, 3)], "one per axis"),
        ('type: "CropCenter" crop_center_param { crop_size: 1 crop_size: 2 }', [(3, 4)], "leaves nothing"),
    ],
)
def test_refusals(layer: str, shapes: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(CaffeportError) as caught:
        graph_of(layer, *shapes)
    assert said in str(caught.value)

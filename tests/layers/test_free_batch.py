"""One port for every batch: what was built for two pictures runs on five, in torch, exported, and in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .single import Single, check

CASES = {
    "convolution behind axis 2": (
        '"Convolution" convolution_param { num_output: 4 kernel_size: 2 axis: 2 }',
        (2, 3, 2, 4, 5),
        1,
    ),
    "convolution over four axes": (
        '"Convolution" convolution_param { num_output: 4 kernel_size: 2 }',
        (2, 2, 3, 2, 3, 2),
        1,
    ),
    "deconvolution behind axis 2": (
        '"Deconvolution" convolution_param { num_output: 4 kernel_size: 2 axis: 2 }',
        (2, 3, 2, 4),
        1,
    ),
    "im2col": ('"Im2col" convolution_param { kernel_size: 2 pad: 1 }', (2, 3, 4, 5), 1),
    "pooling with a mask": ('"Pooling" pooling_param { kernel_size: 3 stride: 2 }', (2, 3, 6, 7), 2),
    "pooling past the end": ('"Pooling" pooling_param { pool: AVE kernel_size: 1 stride: 3 }', (2, 3, 5, 6), 1),
    "pyramid": ('"SPP" spp_param { pyramid_height: 3 }', (2, 3, 7, 9), 1),
    "argmax": ('"ArgMax" argmax_param { top_k: 2 out_max_val: true }', (2, 3, 4), 1),
    "argmax along an axis": ('"ArgMax" argmax_param { axis: -1 }', (2, 3, 4), 1),
    "batch norm": ('"BatchNorm" batch_norm_param { scale_bias: true }', (2, 3, 4), 1),
    "bias": ('"Bias" bias_param { axis: 1 num_axes: -1 }', (2, 3, 4), 1),
    "flatten": ('"Flatten" flatten_param { axis: 1 end_axis: 2 }', (2, 3, 4, 5), 1),
    "inner product behind axis 2": ('"InnerProduct" inner_product_param { num_output: 3 axis: 2 }', (2, 3, 4, 5), 1),
    "mvn": ('"MVN"', (2, 3, 4, 5), 1),
    "power 0": ('"Power" power_param { power: 0 }', (2, 3), 1),
    "prelu": ('"PReLU"', (2, 3, 4, 5), 1),
    "reduction": ('"Reduction" reduction_param { axis: 1 operation: ASUM coeff: 2 }', (2, 3, 4), 1),
    "reshape": ('"Reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 } }', (2, 4, 3), 1),
    "reshape behind axis 1": ('"Reshape" reshape_param { shape { dim: 6 } axis: 1 num_axes: 2 }', (2, 2, 3, 4), 1),
    "scale": ('"Scale" scale_param { axis: -1 bias_term: true }', (2, 3, 4), 1),
    "slice": ('"Slice" slice_param { slice_point: 1 }', (2, 3, 4), 2),
    "softmax": ('"Softmax" softmax_param { axis: -1 }', (2, 3, 4), 1),
    "tile": ('"Tile" tile_param { axis: 2 tiles: 3 }', (2, 3, 4), 1),
    "lrn": ('"LRN" lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }', (2, 3, 4, 5), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_another_batch(name: str) -> None:
    text, shape, tops = CASES[name]
    one = Single(f"type: {text}", shape, tops=tops)
    whole = np.random.default_rng(1).standard_normal((5, *shape[1:]))
    want = [np.concatenate(parts) for parts in zip(one.torch(whole[:2]), one.torch(whole[2:]), strict=True)]
    check(one.torch(whole), want, 1e-12)
    check(one.onnx(whole), want, 1e-5)
    free = ({0: torch.export.Dim("batch", min=1)},)
    exported = torch.export.export(one.module(), (torch.from_numpy(one.bottoms[0]),), dynamic_shapes=free).module()
    made = exported(torch.from_numpy(whole))
    made = [made] if isinstance(made, torch.Tensor) else list(made.values())
    check([top.detach().numpy() for top in made], want, 1e-12)

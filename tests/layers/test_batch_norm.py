"""BatchNorm in both dialects, Scale and Bias over any axes, InnerProduct, beside numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from caffeport.errors import Refused, Unportable

from .single import Shape, Single, check, graph_of

Array = np.ndarray


def normalised(x: Array, mean: Array, variance: Array, eps: float) -> Array:
    wide = (1, -1, *[1] * (x.ndim - 2)) if x.ndim > 1 else (-1,)
    return np.asarray((x - mean.reshape(wide)) / np.sqrt(variance.reshape(wide) + eps))


def statistics(x: Array) -> tuple[Array, Array, int]:
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    mean = x.mean(axes)
    return np.atleast_1d(mean), np.atleast_1d(x.var(axes)), x.size // mean.size


def with_blobs(layer: str, shape: Shape, factor: float, phase: str = "TEST") -> Single:
    one = Single(layer, shape, phase=phase)
    one.params[1] = np.abs(one.params[1]) + 0.2
    one.params[2] = np.array([factor])
    return one


@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (4, 3), (6,), (2, 3, 4, 2, 3)])
@pytest.mark.parametrize("factor", [2.5, 0.0])
def test_three_blobs(shape: Shape, factor: float) -> None:
    one = with_blobs('type: "BatchNorm" batch_norm_param { eps: 0.01 }', shape, factor)
    share = 1 / factor if factor else 0.0
    one.agrees(normalised(one.bottoms[0], one.params[0] * share, one.params[1] * share, 0.01))


@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (6,), (1, 3)])
@pytest.mark.parametrize(("phase", "stored"), [("TRAIN", ""), ("TEST", "use_global_stats: false")])
def test_statistics_of_the_batch(shape: Shape, phase: str, stored: str) -> None:
    settings = f"eps: 0.01 moving_average_fraction: 0.9 {stored}"
    one = with_blobs(f'type: "BatchNorm" batch_norm_param {{ {settings} }}', shape, 2.5, phase)
    module = one.module()
    top = module(torch.from_numpy(one.bottoms[0])).numpy()
    mean, variance, count = statistics(one.bottoms[0])
    np.testing.assert_allclose(top, normalised(one.bottoms[0], mean, variance, 0.01), rtol=0, atol=1e-12)
    unbiased = variance * (count / (count - 1) if count > 1 else 1)
    want = [0.9 * one.params[0] + mean, 0.9 * one.params[1] + unbiased, [0.9 * 2.5 + 1]]
    for blob, value in zip(module.state_dict().values(), want, strict=True):
        np.testing.assert_allclose(blob.numpy(), value, rtol=1e-12)


def test_onnx_has_no_statistics_of_the_batch() -> None:
    with pytest.raises(Unportable, match="statistics of the batch"):
        Single('type: "BatchNorm" batch_norm_param { use_global_stats: false }', (2, 3)).onnx()


NVIDIA = 'type: "BatchNorm" batch_norm_param { scale_bias: true moving_average_fraction: 0.9 eps: 0.01 }'


@pytest.mark.parametrize("shape", [(4, 3, 2, 5), (4, 3), (6,)])
@pytest.mark.parametrize("factor", [0.0, 1.0, 7.0])
def test_five_blobs_leave_the_factor_alone(shape: Shape, factor: float) -> None:
    one = with_blobs(NVIDIA, shape, factor)
    wide = (-1, *[1] * (len(shape) - 2))
    plain = normalised(one.bottoms[0], one.params[0], one.params[1], 0.01)
    one.agrees(plain * one.params[3].reshape(wide) + one.params[4].reshape(wide))


def test_five_blobs_in_training() -> None:
    one = with_blobs(NVIDIA, (4, 3, 2, 5), 0.0, "TRAIN")
    module = one.module()
    top = module(torch.from_numpy(one.bottoms[0]))
    mean, variance, _ = statistics(one.bottoms[0])
    weight, bias = (blob.reshape(-1, 1, 1) for blob in one.params[3:])
    want = normalised(one.bottoms[0], mean, variance, 0.01) * weight + bias
    np.testing.assert_allclose(top.detach().numpy(), want, rtol=0, atol=1e-12)
    state = [blob.detach().numpy() for blob in module.state_dict().values()]
    by_size = {blob.tobytes() for blob in state}
    moved = [0.9 * old + 0.1 * new for old, new in zip(one.params[:2], (mean, variance), strict=True)]
    for value in moved:
        assert any(np.allclose(blob, value, rtol=1e-12) for blob in state if blob.shape == value.shape)
    assert np.array([0.0]).tobytes() in by_size


@pytest.mark.parametrize("mark", ["scale_filler { type: 'constant' value: 1 }", "bias_filler { value: 0 }"])
def test_a_filler_means_five_blobs(mark: str) -> None:
    node = next(graph_of(f'type: "BatchNorm" batch_norm_param {{ {mark} eps: 1e-7 }}', (2, 3)).computing)
    assert [param.shape for param in node.params] == [(3,), (3,), (1,), (3,), (3,)]
    assert "1e-07" not in str(node.layer)


#: Settings, the bottoms' shapes, and the sides that line the small blob up with the large one.
SPANS: dict[str, tuple[str, list[Shape], Shape]] = {
    "channels": ("", [(2, 3, 4)], (1, 3, 1)),
    "all behind": ("axis: 1 num_axes: -1", [(2, 3, 4)], (1, 3, 4)),
    "two in the middle": ("axis: -3 num_axes: 2", [(2, 3, 4, 5)], (1, 3, 4, 1)),
    "batch": ("axis: 0", [(2, 3, 4)], (2, 1, 1)),
    "one number": ("num_axes: 0", [(2, 3)], (1, 1)),
    "second bottom": ("axis: 1", [(2, 3, 4), (3, 4)], (1, 3, 4)),
    "second bottom over batches": ("axis: 0", [(2, 3, 4), (2, 3)], (2, 3, 1)),
    "second bottom of one number": ("axis: 1", [(2, 3), ()], (1, 1)),
}


@pytest.mark.parametrize("name", SPANS)
@pytest.mark.parametrize("bias", [True, False])
def test_scale(name: str, bias: bool) -> None:
    settings, shapes, wide = SPANS[name]
    one = Single(f'type: "Scale" scale_param {{ {settings} bias_term: {str(bias).lower()} }}', *shapes)
    blobs = [*one.bottoms[1:], *one.params]
    one.agrees(one.bottoms[0] * blobs[0].reshape(wide) + (blobs[1].reshape(wide) if bias else 0))


@pytest.mark.parametrize("name", SPANS)
def test_bias(name: str) -> None:
    settings, shapes, wide = SPANS[name]
    one = Single(f'type: "Bias" bias_param {{ {settings} }}', *shapes)
    one.agrees(one.bottoms[0] + [*one.bottoms[1:], *one.params][0].reshape(wide))


@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (2, 3, 4)), (-1, (2, 3, 4)), (0, (2, 3)), (2, (2, 3, 4, 5)), (0, (6,))]
)
def test_inner_product(axis: int, shape: Shape, bias: bool, transpose: bool) -> None:
    settings = f"num_output: 5 axis: {axis} bias_term: {str(bias).lower()} transpose: {str(transpose).lower()}"
    one = Single(f'type: "InnerProduct" inner_product_param {{ {settings} }}', shape)
    lead = shape[: axis % len(shape)]
    rows = one.bottoms[0].reshape(*lead, -1)
    weight = one.params[0] if transpose else one.params[0].T
    one.agrees(rows @ weight + (one.params[1] if bias else 0))


REFUSED: dict[str, tuple[str, list[Shape]]] = {
    "num_axes: is -2|num_axes is -2": ('type: "Scale" scale_param { num_axes: -2 }', [(2, 3)]),
    "reach past": ('type: "Bias" bias_param { axis: 1 num_axes: 3 }', [(2, 3)]),
    "bottom 1 must equal": ('type: "Scale"', [(2, 3, 4), (4,)]),
    "num_output": ('type: "InnerProduct"', [(2, 3)]),
    "axis is 2": ('type: "InnerProduct" inner_product_param { num_output: 1 axis: 2 }', [(2, 3)]),
}


@pytest.mark.parametrize("says", REFUSED)
def test_refuses(says: str) -> None:
    layer, shapes = REFUSED[says]
    with pytest.raises(Refused, match=says):
        graph_of(layer, *shapes)


def gradient(layer: str, shape: Shape, seed: int = 3) -> tuple[Array, Callable[[Array], float]]:
    """The module's gradient of a weighted sum of its top, and that sum as a function of the bottom."""
    one = with_blobs(layer, shape, 1.0, "TRAIN")
    weight = torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))
    x = torch.tensor(one.bottoms[0], requires_grad=True)
    (one.module()(x) * weight).sum().backward()
    assert x.grad is not None
    return x.grad.numpy(), lambda array: float((one.module()(torch.from_numpy(array)) * weight).sum().detach())


@pytest.mark.parametrize("layer", ['type: "BatchNorm"', NVIDIA])
def test_gradient_through_the_statistics(layer: str) -> None:
    got, objective = gradient(layer, (3, 2, 2))
    x, want = Single(layer, (3, 2, 2)).bottoms[0], np.zeros((3, 2, 2))
    for place in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-5
        want[place] = (objective(x + step) - objective(x - step)) / 2e-5
    check([got], [want], 1e-7)

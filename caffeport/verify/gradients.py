"""The backward pass of a port, with Caffe's own seed at the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from caffeport.verify.backends import Backend, CannotRun, Torch, stops
from caffeport.verify.case import Case
from caffeport.verify.compare import Comparison, compare, largest
from caffeport.verify.overwritten import as_caffe_reads
from caffeport.verify.returned import Place

if TYPE_CHECKING:
    from caffeport.verify.run import Run


def gradients(run: Run, port: Backend) -> Iterator[Comparison]:
    """Gradients at inputs and parameters; Caffe's seed is put on the outputs, losses count by their weights."""
    if not isinstance(port, Torch):
        return
    try:
        got = backward(run, port)
    except CannotRun as stop:
        yield Comparison(run.case.name, "the backward pass", "chain", gradient=True, problem=str(stop))
        return
    for name, array in got.items():
        layer, what = gradient_of(run.case, name)
        noise = largest(array, run.exact_gradients[name])
        want = run.case.arrays[name]
        yield compare(array, want, layer=layer, what=what, mode="chain", gradient=True, noise=noise)


def gradient_of(case: Case, name: str) -> tuple[str, str]:
    """How a comparison names a recorded gradient: the layer (of an input the blob), and what of it."""
    kind, _, rest = name.partition("/")
    if kind == "dbottom":
        return rest, "gradient of the blob"
    node, k = case.recorded(rest)
    return node.name, f"gradient of blob {k}"


def backward(run: Run, port: Torch) -> dict[str, np.ndarray]:
    """All recorded gradients, by their recorded names, computed by the port (which this puts in its precision)."""
    port.module.to(port.dtype).zero_grad(set_to_none=True)
    with stops(run.case.graph.net.file):
        return _backward(run, port)


def _backward(run: Run, port: Torch) -> dict[str, np.ndarray]:
    case = run.case
    tops: dict[Place, Tensor] = {}
    with as_caffe_reads(case.graph, port.part, tops):
        port.run(case.inputs, tops.__setitem__, gradient=True)
    last = {value.name: tops[node.index, k] for node in case.graph.nodes for k, value in enumerate(node.tops)}
    for tensor in last.values():
        if tensor.requires_grad:
            tensor.retain_grad()
    objective = _objective(run, port, tops, last)
    if objective.requires_grad:
        torch.autograd.backward(objective)
    found = {f"dbottom/{blob}": gradient(last[blob], want.shape) for blob, want in case.under("dbottom")}
    for name, want in case.under("dparam"):
        node, k = case.recorded(name)
        owner, _, attribute = port.names.state[node.index, k].rpartition(".")
        found[f"dparam/{name}"] = gradient(getattr(port.module.get_submodule(owner), attribute), want.shape)
    return found


def _objective(run: Run, port: Torch, tops: dict[Place, Tensor], last: dict[str, Tensor]) -> Tensor:
    """Seeded outputs and weighted losses, summed: the number whose gradient Caffe recorded."""
    terms = [(_seed(port, seed, last[blob]) * last[blob]).sum() for blob, seed in run.case.under("seed")]
    for node in run.case.graph.nodes:
        terms += [weight * tops[node.index, k].sum() for k, weight in enumerate(node.loss_weights) if weight]
    return torch.stack(terms).sum() if terms else torch.zeros(())


def _seed(port: Torch, seed: np.ndarray, output: Tensor) -> Tensor:
    """A recorded seed as a tensor; one of another shape would be broadcast in silence."""
    if seed.shape != tuple(output.shape):
        raise ValueError(f"an output of the port is {tuple(output.shape)}, Caffe's seed for it is {seed.shape}")
    return port.tensor(seed)


def gradient(tensor: Tensor, shape: Sequence[int]) -> np.ndarray:
    """The gradient, zero where none arrived; Caffe's blobs of other shape (legacy) hold the same numbers."""
    if tensor.grad is None:
        return np.zeros(shape)
    grad = tensor.grad.detach().numpy()
    return grad.reshape(shape) if grad.size == prod(shape) else grad

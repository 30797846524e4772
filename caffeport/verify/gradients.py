"""The backward pass of a port, with Caffe's own seed at the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from caffeport.verify.backends import Place, Torch, stops
from caffeport.verify.overwritten import as_caffe_reads

if TYPE_CHECKING:
    from caffeport.verify.run import Run


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
        node, k = run.recorded(name)
        owner, _, attribute = port.names.state[node.index, k].rpartition(".")
        found[f"dparam/{name}"] = gradient(getattr(port.module.get_submodule(owner), attribute), want.shape)
    return found


def _objective(run: Run, port: Torch, tops: dict[Place, Tensor], last: dict[str, Tensor]) -> Tensor:
    """Seeded outputs and weighted losses, summed: the number whose gradient Caffe recorded."""
    terms = [(port.tensor(seed) * last[blob]).sum() for blob, seed in run.case.under("seed")]
    for node in run.case.graph.nodes:
        terms += [weight * tops[node.index, k].sum() for k, weight in enumerate(node.loss_weights) if weight]
    return torch.stack(terms).sum() if terms else torch.zeros(())


def gradient(tensor: Tensor, shape: Sequence[int]) -> np.ndarray:
    """The gradient, zero where none arrived; Caffe's blobs of other shape (legacy) hold the same numbers."""
    if tensor.grad is None:
        return np.zeros(shape)
    grad = tensor.grad.detach().numpy()
    return grad.reshape(shape) if grad.size == prod(shape) else grad

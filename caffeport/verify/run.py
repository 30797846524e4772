"""Verification: the port beside what Caffe computed, layer by layer, alone and in chain, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
import torch

from caffeport.errors import BadCase, CaffeportError, Unportable
from caffeport.graph import Node
from caffeport.verify.backends import Arrays, Backend, Onnx, Tops, Torch
from caffeport.verify.case import Case
from caffeport.verify.compare import Comparison, compare

BACKENDS = ("module", "source", "onnx")


@dataclass(frozen=True)
class Result:
    """One case on one back end. `skipped` says why it could not run there, `refused` why the port was refused."""

    case: str
    backend: str
    comparisons: tuple[Comparison, ...] = ()
    skipped: str = ""
    refused: str = ""
    culprit: str = field(default="", compare=False)

    @property
    def passed(self) -> bool:
        """Whether everything that ran agrees with Caffe."""
        return not self.refused and all(one.passed for one in self.comparisons)


@dataclass
class Run:
    """The port of one case, and its own rounding noise, shared by all back ends."""

    case: Case

    def on(self, backend: str) -> Result:
        """Verify on one back end.

        Raises:
            BadCase: the recording does not belong to the net.
        """
        try:
            found = tuple(self.compare_all(backend))
        except Unportable as refusal:
            return Result(self.case.name, backend, skipped=str(refusal))
        except CaffeportError as refusal:
            problems = getattr(refusal, "problems", (refusal,))
            if all(isinstance(problem, Unportable) for problem in problems):
                return Result(self.case.name, backend, skipped=str(refusal))
            raise
        culprit = next((one.layer for one in found if not one.passed and one.mode == "alone"), "")
        return Result(self.case.name, backend, found, culprit=culprit)

    def compare_all(self, backend: str) -> Iterator[Comparison]:
        case, graph = self.case, self.case.graph
        if backend == "onnx" and graph.net.phase == "TRAIN":
            raise Unportable(case.name, "a training graph has no ONNX form")
        if not case.drawn:
            yield from self.alone(self.port(backend))
        chain = self.port(backend)
        tops = chain.chain(case.inputs)
        yield from self.chained(tops)
        if isinstance(chain, Torch):
            yield from self.changed(chain)
            if case.meta.get("backward"):
                yield from self.gradients(self.port(backend))

    def port(self, backend: str, dtype: torch.dtype = torch.float32) -> Backend:
        """A fresh port: running in TRAIN changes its statistics."""
        if backend == "onnx":
            return Onnx(self.case.graph, self.case.state)
        return Torch(self.case.graph, self.case.state, backend == "source", dtype)

    @cached_property
    def exact(self) -> Tops:
        """The port's tops in float64."""
        return self.port("module", torch.float64).chain(self.case.inputs)

    @cached_property
    def noise(self) -> dict[tuple[int, int], float]:
        """Largest |float32 - float64| of the port at every top."""
        rough = self.port("module").chain(self.case.inputs)
        return {place: largest(rough[place], exact) for place, exact in self.exact.items()}

    def alone(self, port: Backend) -> Iterator[Comparison]:
        """Every layer fed Caffe's own bottoms."""
        made: dict[str, np.ndarray] = dict()
        for node in self.case.graph.nodes:
            wanted = [self.case.top(node, k) for k in range(len(node.tops))]
            if not node.layer.source:
                try:
                    got = port.alone(node, [made[value.name] for value in node.bottoms])
                except Unportable:
                    got = None
                for k, want in enumerate(wanted):
                    if got is not None and want is not None:
                        yield compare(got[k], want, layer=node.name, what=_top(node, k), mode="alone")
            for value, want in zip(node.tops, wanted, strict=True):
                made[value.name] = self.case.inputs[value.blob] if want is None else want

    def chained(self, tops: Tops) -> Iterator[Comparison]:
        """Every layer fed by the port's own layers, from the recorded inputs on."""
        for node in self.case.graph.computing:
            for k in range(len(node.tops)):
                what, got = _top(node, k), tops[node.index, k]
                noise = self.noise[node.index, k]
                want = self.case.top(node, k)
                if want is not None:
                    yield compare(got, want, layer=node.name, what=what, mode="chain", noise=noise)
                else:
                    yield from self.sampled(node, k, got, noise)
        for blob, want in self.case.under("out"):
            place = next((n.index, k) for n in self.case.graph.nodes for k, v in enumerate(n.tops) if v.name == blob)
            noise = self.noise[place]
            yield compare(tops[place], want, layer=blob, what="output", mode="chain", noise=noise)

    def sampled(self, node: Node, k: int, got: np.ndarray, noise: float) -> Iterator[Comparison]:
        """A top that was recorded by 256 samples and four statistics."""
        stem = f"top/{self.case.places[node.index]}/{k}"
        sample, stats = self.case.arrays.get(f"{stem}/sample"), self.case.arrays.get(f"{stem}/stats")
        if sample is None or stats is None:
            raise BadCase(str(self.case.folder / "golden.npz"), f"has no {stem}", "every top of every layer is recorded")
        scale = float(np.abs(stats[2:]).max())
        places = np.linspace(0, got.size - 1, sample.size).astype(int)
        same = {"layer": node.name, "mode": "chain", "noise": noise, "scale": scale}
        yield compare(got.ravel()[places], sample, what=_top(node, k), **same)
        exact = got.astype(np.float64)
        own = np.array([exact.mean(), exact.std(), exact.min(), exact.max()])
        yield compare(own, stats, what=f"mean, std, min, max of {_top(node, k)}", **same)

    def changed(self, port: Torch) -> Iterator[Comparison]:
        """Parameters that the forward pass itself changed: BatchNorm's running statistics in TRAIN."""
        nodes = {place: index for index, place in self.case.places.items()}
        for name, want in self.case.under("after"):
            place, k = map(int, name.split("/"))
            node = self.case.graph.nodes[nodes[place]]
            got = port.module.state_dict()[port.names.state[node.index, k]].numpy()
            yield compare(got, want, layer=node.name, what=f"blob {k} after the pass", mode="chain")

    @cached_property
    def exact_gradients(self) -> dict[str, np.ndarray]:
        """The port's gradients in float64, by recorded name."""
        port = self.port("module", torch.float64)
        return self.backward(port) if isinstance(port, Torch) else {}

    def gradients(self, port: Backend) -> Iterator[Comparison]:
        """Gradients at inputs and parameters; Caffe's seed is put on the outputs, losses count by their weights."""
        if not isinstance(port, Torch):
            return
        got = self.backward(port)
        for name, want in self.case.arrays.items():
            kind, _, rest = name.partition("/")
            if kind not in ("dbottom", "dparam"):
                continue
            noise = largest(got[name], self.exact_gradients[name])
            layer, what = self._gradient_name(kind, rest)
            yield compare(got[name], want, layer=layer, what=what, mode="chain", gradient=True, noise=noise)

    def _gradient_name(self, kind: str, rest: str) -> tuple[str, str]:
        if kind == "dbottom":
            return rest, "gradient of the blob"
        place, k = rest.split("/")
        layer = next(layer for layer in self.case.meta["layers"] if layer["index"] == int(place))
        return layer["name"], f"gradient of blob {k}"

    def backward(self, port: Torch) -> dict[str, np.ndarray]:
        """All recorded gradients, computed by the port."""
        tops, _ = port.run(self.case.inputs, gradient=True)
        last = {value.name: tops[node.index, k] for node in self.case.graph.nodes for k, value in enumerate(node.tops)}
        for tensor in last.values():
            if tensor.requires_grad:
                tensor.retain_grad()
        objective = self._objective(port, tops, last)
        if objective.requires_grad:
            objective.backward()
        found: dict[str, np.ndarray] = {}
        for name, want in self.case.arrays.items():
            kind, _, rest = name.partition("/")
            if kind == "dbottom":
                found[name] = _gradient(last[rest], want.shape)
            elif kind == "dparam":
                found[name] = _gradient(self._parameter(port, rest), want.shape)
        return found

    def _objective(self, port: Torch, tops: dict[tuple[int, int], torch.Tensor], last: dict[str, torch.Tensor]) -> torch.Tensor:
        terms = [(port.tensor(seed) * last[blob]).sum() for blob, seed in self.case.under("seed")]
        for node in self.case.graph.nodes:
            for k, weight in enumerate(node.loss_weights):
                if weight:
                    terms.append(weight * tops[node.index, k].sum())
        return torch.stack(terms).sum() if terms else torch.zeros(())

    def _parameter(self, port: Torch, rest: str) -> torch.Tensor:
        place, k = map(int, rest.split("/"))
        nodes = {recorded: index for index, recorded in self.case.places.items()}
        key = port.names.state[nodes[place], k]
        owner, _, tensor = key.rpartition(".")
        found: torch.Tensor = getattr(port.module.get_submodule(owner), tensor)
        return found


def _gradient(tensor: torch.Tensor, shape: Sequence[int]) -> np.ndarray:
    """The gradient, zero where none arrived; Caffe's blobs of other shape (legacy) hold the same numbers."""
    if tensor.grad is None:
        return np.zeros(shape)
    grad = tensor.grad.detach().numpy()
    return grad.reshape(shape) if grad.size == prod(shape) else grad


def _top(node: Node, k: int) -> str:
    return f"top {k} {node.tops[k].blob!r}" if len(node.tops) > 1 else f"top {node.tops[k].blob!r}"


def largest(rough: np.ndarray, exact: np.ndarray) -> float:
    """Largest finite |rough - exact|."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(rough.astype(np.float64) - exact)
    return float(difference[np.isfinite(difference)].max(initial=0.0))


def verify(case: Case, on: Sequence[str] = BACKENDS) -> list[Result]:
    """The port of a case beside Caffe, on each back end.

    Raises:
        BadCase: the recording does not belong to the net.
        CaffeportError: the net cannot be ported.
    """
    run = Run(case)
    return [run.on(backend) for backend in on]


__all__ = ["BACKENDS", "Arrays", "Comparison", "Result", "Run", "verify"]

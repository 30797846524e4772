"""Verification: the port beside what Caffe computed, layer by layer, alone and in chain, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from caffeport.errors import BadCase, CaffeportError, Unportable
from caffeport.graph import Node
from caffeport.verify.backends import Arrays, Backend, CannotRun, Onnx, Place, Tops, Torch
from caffeport.verify.case import Case
from caffeport.verify.compare import Comparison, compare, largest, spread
from caffeport.verify.gradients import backward
from caffeport.verify.overwritten import notes

BACKENDS = ("module", "source", "onnx")


@dataclass(frozen=True)
class Result:
    """One case on one back end.

    `skipped` says why it could not run there, `culprit` names the first layer that is wrong alone (where nothing ran
    alone: in chain), `cause` what explains its difference, where something does.
    """

    case: str
    backend: str
    comparisons: tuple[Comparison, ...] = ()
    skipped: str = ""
    culprit: str = ""
    cause: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether everything that ran agrees with Caffe."""
        return all(one.passed for one in self.comparisons)


@dataclass
class Run:
    """The port of one case, and its own rounding noise, shared by all back ends."""

    case: Case
    made: dict[torch.dtype, Torch] = field(default_factory=dict)

    @property
    def training(self) -> bool:
        """Whether a pass changes the port's statistics, so that each starts from a fresh one."""
        return self.case.graph.net.phase == "TRAIN"

    def on(self, backend: str, port: Backend | None = None) -> Result:
        """Verify on one back end; `port` is what to run where it is not the case's own port.

        Raises:
            BadCase: the recording does not belong to the net.
        """
        try:
            found = tuple(self.compare_all(backend, port))
        except CaffeportError as refusal:
            problems = getattr(refusal, "problems", (refusal,))
            if all(isinstance(problem, Unportable) for problem in problems):
                return Result(self.case.name, backend, skipped=str(refusal))
            raise
        failed = first_wrong(found)
        remarks = notes(self.case.graph) if self.case.backward and backend != "onnx" else ()
        if failed is None:
            return Result(self.case.name, backend, found, notes=remarks)
        from caffeport.verify.suspect import suspect

        cause = suspect(self, failed, port or self.port(backend))
        return Result(self.case.name, backend, found, culprit=failed.layer, cause=cause, notes=remarks)

    def compare_all(self, backend: str, port: Backend | None) -> Iterator[Comparison]:
        """Every comparison that the case and the back end allow."""
        case = self.case
        if backend == "onnx" and self.training:
            raise Unportable(case.name, "a training graph has no ONNX form")
        fresh = self.training and port is None
        ready = port or self.port(backend)
        if not case.sampled:
            yield from self.alone(ready)
        ready = self.port(backend) if fresh else ready
        try:
            tops = self.tops if backend == "module" and port is None else ready.chain(case.inputs)
            yield from self.chained(tops)
        except CannotRun as stop:
            yield Comparison(case.name, "the net", "chain", problem=str(stop))
            return
        if backend == "module" and port is None:
            ready = self._module
        if isinstance(ready, Torch):
            yield from self.changed(ready)
            if case.backward and ready.trains:
                yield from self.gradients(self.port(backend) if fresh else ready)

    def port(self, backend: str) -> Backend:
        """The port of the case on a back end."""
        if backend == "onnx":
            return Onnx(self.case.graph, self.case.state)
        return self.torch() if backend == "module" else Torch(self.case.graph, self.case.state, standalone=True)

    def torch(self, dtype: torch.dtype = torch.float32) -> Torch:
        """The port as a module: the same one each time, but for nets that train."""
        if self.training:
            return Torch(self.case.graph, self.case.state, dtype=dtype)
        if dtype not in self.made:
            self.made[dtype] = Torch(self.case.graph, self.case.state, dtype=dtype)
        return self.made[dtype]

    @cached_property
    def _module(self) -> Torch:
        """The module that ran `tops`; in TRAIN the run changed its statistics."""
        return self.torch()

    @cached_property
    def tops(self) -> Tops:
        """The port's tops in chain, as a module in float32."""
        return self._module.chain(self.case.inputs)

    @cached_property
    def noise(self) -> dict[Place, float]:
        """Largest |float32 - float64| of the port at every top."""
        found: dict[Place, float] = {}

        def see(place: Place, exact: np.ndarray) -> None:
            found[place] = largest(self.tops[place], exact)

        self.torch(dtype=torch.float64).watch(self.case.inputs, see)
        return found

    @cached_property
    def alone_noise(self) -> dict[Place, float]:
        """The same for every layer alone."""
        rough, exact = self.torch(), self.torch(dtype=torch.float64)
        found: dict[Place, float] = {}
        for node, bottoms in self.fed():
            with suppress(CannotRun):
                pairs = zip(rough.alone(node, bottoms), exact.alone(node, bottoms), strict=True)
                found |= {(node.index, k): largest(*pair) for k, pair in enumerate(pairs)}
        return found

    def alone(self, port: Backend) -> Iterator[Comparison]:
        """Every layer fed Caffe's own bottoms."""
        for node, bottoms in self.fed():
            try:
                got = port.alone(node, bottoms)
            except Unportable:
                continue
            except CannotRun as stop:
                yield Comparison(node.name, "the layer", "alone", problem=str(stop))
                continue
            for k in range(len(node.tops)):
                want = self.case.top(node, k)
                if want is not None:
                    own, noise = node.layer.aligned(got[k], want), self.alone_noise.get((node.index, k))
                    yield compare(own, want, layer=node.name, what=top_name(node, k), mode="alone", noise=noise)

    def fed(self) -> Iterator[tuple[Node, list[np.ndarray]]]:
        """Every layer that computes, with what Caffe had in its bottoms when it ran."""
        made: dict[str, np.ndarray] = {}
        for node in self.case.graph.nodes:
            if not node.layer.source:
                yield node, [made[value.name] for value in node.bottoms]
            for k, value in enumerate(node.tops):
                want = self.case.top(node, k)
                made[value.name] = self.case.inputs[value.blob] if want is None else want

    def bottoms(self, node: Node) -> list[np.ndarray]:
        """What Caffe had in a layer's bottoms when it ran."""
        return next(bottoms for other, bottoms in self.fed() if other.index == node.index)

    def chained(self, tops: Mapping[Place, np.ndarray]) -> Iterator[Comparison]:
        """Every layer fed by the port's own layers, from the recorded inputs on."""
        for node in self.case.graph.computing:
            for k in range(len(node.tops)):
                if (node.index, k) not in tops:
                    continue
                what, got = top_name(node, k), tops[node.index, k]
                noise = self.noise[node.index, k]
                want = self.case.top(node, k)
                if want is not None:
                    own = node.layer.aligned(got, want)
                    yield compare(own, want, layer=node.name, what=what, mode="chain", noise=noise)
                else:
                    yield from self.sampled(node, k, got, noise)
        yield from self.outputs(tops)

    def outputs(self, tops: Mapping[Place, np.ndarray]) -> Iterator[Comparison]:
        """Outputs that were recorded as a whole beside the samples."""
        makers = {value.name: (node, k) for node in self.case.graph.nodes for k, value in enumerate(node.tops)}
        for blob, want in self.case.under("out"):
            node, k = makers[blob]
            if (node.index, k) in tops:
                noise = self.noise[node.index, k]
                yield compare(
                    tops[node.index, k], want, layer=node.name, what=f"output {blob!r}", mode="chain", noise=noise
                )

    def sampled(self, node: Node, k: int, got: np.ndarray, noise: float) -> Iterator[Comparison]:
        """A top that was recorded by 256 samples and four statistics."""
        sample, stats = self.samples(node, k)
        if not sample.size or stats.shape != (4,):
            raise BadCase(str(self.case.folder), f"top {k} of layer {node.name!r} is recorded by no sample of use")
        scale = float(np.abs(stats[2:]).max())
        what = top_name(node, k)
        part = spread(got, sample.size)
        yield compare(part, sample, layer=node.name, what=what, mode="chain", noise=noise, scale=scale)
        exact = got.astype(np.float64)
        own = np.array([exact.mean(), exact.std(), exact.min(), exact.max()])
        what = f"mean, std, min, max of {what}"
        yield compare(own, stats, layer=node.name, what=what, mode="chain", noise=noise, scale=scale)

    def samples(self, node: Node, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The recorded sample and statistics of a top."""
        stem = f"top/{self.case.places[node.index]}/{k}"
        sample, stats = self.case.arrays.get(f"{stem}/sample"), self.case.arrays.get(f"{stem}/stats")
        if sample is None or stats is None:
            raise BadCase(
                str(self.case.folder / "golden.npz"), f"has no {stem}", "every top of every layer is recorded"
            )
        return sample, stats

    def changed(self, port: Torch) -> Iterator[Comparison]:
        """Parameters that the forward pass itself changed: BatchNorm's running statistics in TRAIN."""
        for name, want in self.case.under("after"):
            node, k = self.recorded(name)
            got = port.module.state_dict()[port.names.state[node.index, k]].numpy()
            yield compare(got, want, layer=node.name, what=f"blob {k} after the pass", mode="chain")

    def recorded(self, name: str) -> tuple[Node, int]:
        """The node and the position that ``<layer's index>/<k>`` stands for.

        Raises:
            BadCase: there is no such layer.
        """
        place, _, k = name.partition("/")
        nodes = {str(recorded): index for index, recorded in self.case.places.items()}
        if place not in nodes or not k.isdecimal() or int(k) >= len(self.case.graph.nodes[nodes[place]].params):
            raise BadCase(str(self.case.folder / "golden.npz"), f"has parameter {name}, which the net does not have")
        return self.case.graph.nodes[nodes[place]], int(k)

    @cached_property
    def exact_gradients(self) -> dict[str, np.ndarray]:
        """The port's gradients in float64, by recorded name."""
        return backward(self, self.torch(dtype=torch.float64))

    def gradients(self, port: Backend) -> Iterator[Comparison]:
        """Gradients at inputs and parameters; Caffe's seed is put on the outputs, losses count by their weights."""
        if not isinstance(port, Torch):
            return
        try:
            got = backward(self, port)
        except CannotRun as stop:
            yield Comparison(self.case.name, "the backward pass", "chain", gradient=True, problem=str(stop))
            return
        for name in got:
            kind, _, rest = name.partition("/")
            noise = largest(got[name], self.exact_gradients[name])
            if kind == "dbottom":
                layer, what = rest, "gradient of the blob"
            else:
                node, k = self.recorded(rest)
                layer, what = node.name, f"gradient of blob {k}"
            want = self.case.arrays[name]
            yield compare(got[name], want, layer=layer, what=what, mode="chain", gradient=True, noise=noise)


def first_wrong(found: Sequence[Comparison]) -> Comparison | None:
    """The first comparison that fails alone; where none does, the first in chain; gradients last."""
    failed = [one for one in found if not one.passed]
    return min(failed, key=lambda one: (one.gradient, one.mode != "alone"), default=None)


def top_name(node: Node, k: int) -> str:
    """How a comparison names a top: ``top 'conv1'``, or ``top 1 'mask'`` where there are several."""
    return f"top {k} {node.tops[k].blob!r}" if len(node.tops) > 1 else f"top {node.tops[k].blob!r}"


def verify(case: Case, on: Sequence[str] = BACKENDS) -> list[Result]:
    """The port of a case beside Caffe, on each back end.

    Raises:
        BadCase: the recording does not belong to the net.
        CaffeportError: the net cannot be ported.
    """
    run = Run(case)
    return [run.on(backend) for backend in on]


__all__ = ["BACKENDS", "Arrays", "Comparison", "Result", "Run", "verify"]

"""Verification: the port beside what Caffe computed, layer by layer, alone and in chain, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from caffeport.errors import CaffeportError, Unportable
from caffeport.graph import Node
from caffeport.verify import BACKENDS
from caffeport.verify.backends import Arrays, Backend, CannotRun, Onnx, Tops, Torch
from caffeport.verify.case import Case
from caffeport.verify.compare import Comparison, compare, largest, magnitude, spread
from caffeport.verify.gradients import backward, gradients
from caffeport.verify.left_out import left_out
from caffeport.verify.overwritten import notes
from caffeport.verify.returned import Place


@dataclass(frozen=True)
class Result:
    """One case on one back end.

    `skipped` says why it could not run there, `culprit` names the first layer that is wrong alone (where nothing ran
    alone: in chain), `cause` what explains its difference, where something does. `notes` say what was not compared.
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
        """Whether everything that ran agrees with Caffe; nothing may have run: see `agrees`."""
        return all(one.passed for one in self.comparisons)

    @property
    def agrees(self) -> bool:
        """Whether values were compared, and all of them agree with Caffe."""
        return self.passed and any(one.count for one in self.comparisons)


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
        reread = notes(self.case.graph) if any(one.gradient for one in found) else ()
        remarks = (*left_out(self.case, found, backend), *reread)
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
        yield from self.alone(ready)
        ready = self.port(backend) if fresh else ready
        try:
            tops = self.tops if backend == "module" and port is None else ready.chain(case.inputs)
            yield from self.chained(tops, ready.partial)
        except CannotRun as stop:
            yield Comparison(case.name, "the net", "chain", problem=str(stop))
            return
        if backend == "module" and port is None:
            ready = self._module
        if isinstance(ready, Torch):
            yield from ready.strays
            yield from self.changed(ready)
            if case.backward and not ready.partial:
                yield from gradients(self, self.port(backend) if fresh else ready)

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
        return noise_of(self.tops, self.torch(dtype=torch.float64), self.case.inputs)

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
        """Every layer that computes, with what Caffe had in its bottoms when it ran; bottom and top must be whole."""
        made: dict[str, np.ndarray] = {}
        for node in self.case.graph.nodes:
            bottoms = [made.get(value.name) for value in node.bottoms]
            whole = not node.tops
            for k, value in enumerate(node.tops):
                want = self.case.top(node, k)
                whole |= want is not None
                if want is None and node.layer.source:
                    want = self.case.inputs[value.blob]
                if want is not None:
                    made[value.name] = want
            given = [bottom for bottom in bottoms if bottom is not None]
            if whole and not node.layer.source and len(given) == len(bottoms):
                yield node, given

    def bottoms(self, node: Node, tops: Tops | None = None) -> list[np.ndarray]:
        """What Caffe had in a layer's bottoms when it ran; of a sampled recording what the port had (its `tops`)."""
        if not self.case.sampled:
            return next(bottoms for other, bottoms in self.fed() if other.index == node.index)
        own = self.tops if tops is None else tops
        before = self.case.graph.nodes[: node.index]
        made = {value.name: own.get((n.index, k)) for n in before for k, value in enumerate(n.tops)}
        return [bottom for value in node.bottoms if (bottom := made[value.name]) is not None]

    def chained(self, tops: Mapping[Place, np.ndarray], partial: bool = False) -> Iterator[Comparison]:
        """Every layer fed by the port's own layers, from the recorded inputs on; only a `partial` port lacks some."""
        for node in self.case.graph.computing:
            for k in range(len(node.tops)):
                what = top_name(node, k)
                if (node.index, k) not in tops:
                    if not partial:
                        yield Comparison(node.name, what, "chain", problem="the layer never ran")
                    continue
                got = tops[node.index, k]
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
        what = top_name(node, k)
        if not got.size:
            yield Comparison(node.name, what, "chain", problem="is empty, Caffe's is not")
            return
        scale = max(magnitude(stats[2:]), magnitude(sample))
        part = spread(got, sample.size)
        yield compare(part, sample, layer=node.name, what=what, mode="chain", noise=noise, scale=scale)
        exact = got.astype(np.float64)
        own = np.array([exact.mean(), exact.std(), exact.min(), exact.max()])
        what = f"mean, std, min, max of {what}"
        yield compare(own, stats, layer=node.name, what=what, mode="chain", noise=noise, scale=scale)

    def samples(self, node: Node, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The recorded sample and statistics of a top."""
        stem = f"top/{self.case.places[node.index]}/{k}"
        return self.case.arrays[f"{stem}/sample"], self.case.arrays[f"{stem}/stats"]

    @cached_property
    def exact_gradients(self) -> dict[str, np.ndarray]:
        """The port's gradients in float64, by recorded name."""
        return backward(self, self.torch(dtype=torch.float64))

    def changed(self, port: Torch) -> Iterator[Comparison]:
        """Parameters that the forward pass itself changed (BatchNorm's running statistics in TRAIN), here or there."""
        if not self.training:
            return
        state, after = port.module.state_dict(), dict(self.case.under("after"))
        for node in self.case.graph.computing:
            for k, param in enumerate(node.params):
                key = port.names.state[node.index, k]
                got, before = state[key].numpy(), self.case.state[key]
                want = after.get(f"{self.case.places[node.index]}/{k}")
                # What is not recorded, Caffe left as it was.
                if want is not None or not np.array_equal(got, before):
                    want = before if want is None else want.reshape(param.shape)
                    yield compare(got, want, layer=node.name, what=f"blob {k} after the pass", mode="chain")


def noise_of(tops: Tops, exact: Torch, inputs: Arrays) -> dict[Place, float]:
    """Largest |float32 - float64| of a port at every top, from its `tops` in float32 and itself in float64."""
    found: dict[Place, float] = {}
    nodes = exact.graph.nodes

    def see(place: Place, top: np.ndarray) -> None:
        found[place] = largest(tops[place], nodes[place[0]].layer.aligned(top, tops[place]))

    exact.watch(inputs, see)
    return found


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


__all__ = ["BACKENDS", "Arrays", "Comparison", "Result", "Run", "noise_of", "verify"]

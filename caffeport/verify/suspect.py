"""Why a layer is wrong: known misreadings, tried by recomputation. Only one that explains the difference is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffeport.caffe.weights import open_weights
from caffeport.emit.names import name_graph
from caffeport.errors import CaffeportError, Unportable
from caffeport.graph import Node
from caffeport.verify.backends import Backend, CannotRun, Torch
from caffeport.verify.case import find_weights
from caffeport.verify.compare import FORWARD, Comparison, distance, spread
from caffeport.verify.gradients import backward, gradient_of
from caffeport.verify.readings import DENSE
from caffeport.verify.readings_plain import PLAIN

if TYPE_CHECKING:
    from caffeport.verify.run import Run

READINGS = {**DENSE, **PLAIN}
#: An explanation leaves at most this share of the difference.
LEFT = 0.01


@dataclass(frozen=True)
class Scene:
    """A wrong top: the layer, what it was fed, what the port made of it, and what Caffe has (or a sample of that)."""

    node: Node
    k: int
    bottoms: Sequence[np.ndarray]
    got: np.ndarray
    want: np.ndarray
    whole: bool
    allowed: float

    def view(self, array: np.ndarray) -> np.ndarray:
        """An array of the top's size as it compares with `want`."""
        return array if self.whole else spread(array, self.want.size)

    def same(self, one: np.ndarray, other: np.ndarray) -> bool:
        """Whether two arrays agree, but for what is allowed and for a small share of the difference to explain."""
        if one.shape != other.shape:
            return False
        off = far(self.view(self.got), self.want) if self.got.shape == self.want.shape or not self.whole else np.inf
        left = far(one, other)
        return left <= self.allowed or (np.isfinite(off) and left <= LEFT * off)


def far(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of two arrays of one shape."""
    return float(distance(one.astype(np.float64), other.astype(np.float64)).max(initial=0.0))


def suspect(run: Run, failed: Comparison, port: Backend) -> str:
    """The misreading that explains a failed comparison, as a sentence; empty where none of those known does."""
    if failed.gradient:
        return _gradient(run, failed, port)
    scene = _scene(run, failed, port)
    if scene is None:
        return ""
    if _fine(scene):
        return "no layer is wrong alone: the port joins them wrongly, or reads an in-place blob at the wrong time"
    for hypotheses in (_misreadings, _patterns, _reruns):
        for phrase in hypotheses(scene, run, port):
            return phrase
    return ""


def _fine(scene: Scene) -> bool:
    """Whether the layer is right when fed what it should get."""
    return scene.whole and scene.got.shape == scene.want.shape and far(scene.got, scene.want) <= scene.allowed


def _scene(run: Run, failed: Comparison, port: Backend) -> Scene | None:
    node = next((node for node in run.case.graph.computing if node.name == failed.layer), None)
    if node is None:
        return None
    named = (k for k, value in enumerate(node.tops) if f"top {k} " in failed.what or repr(value.blob) in failed.what)
    k = next(named, 0)
    try:
        want, whole = run.case.top(node, k), True
        if want is None:
            want, whole = run.samples(node, k)[0], False
        bottoms = run.bottoms(node, port.chain(run.case.inputs) if run.case.sampled else None)
        got = _made(run, node, bottoms, port)[k]
    except (CaffeportError, IndexError, KeyError):
        return None
    allowed = failed.allowed or FORWARD * float(np.abs(want[np.isfinite(want)]).max(initial=0.0))
    return Scene(node, k, bottoms, got, want, whole, allowed)


def _made(run: Run, node: Node, bottoms: Sequence[np.ndarray], port: Backend) -> list[np.ndarray]:
    """The port's tops of a layer, alone; of a port that only runs as a whole, what it had there."""
    try:
        return port.alone(node, bottoms)
    except (CannotRun, Unportable):
        tops = port.chain(run.case.inputs)
        return [tops[node.index, k] for k in range(len(node.tops)) if (node.index, k) in tops]


def _misreadings(scene: Scene, run: Run, _port: Backend) -> Iterator[str]:
    return misreadings(scene, lambda: stored_blobs(run, scene.node))


def misreadings(scene: Scene, stored: Callable[[], Sequence[np.ndarray]]) -> Iterator[str]:
    """Settings misread: the second implementation gives what is wanted, and misread gives what was got."""
    reading = READINGS.get(scene.node.type)
    if reading is None or scene.k:
        return
    bottoms = [torch.from_numpy(np.asarray(bottom, np.float64)) for bottom in scene.bottoms]
    blobs = [torch.from_numpy(np.asarray(blob, np.float64)) for blob in stored()]
    settings = reading.settings(scene.node.definition.fields(), bottoms)

    def made(changed: object = None) -> np.ndarray | None:
        try:
            return np.asarray(reading.compute({**settings, **(changed or {})}, bottoms, blobs))  # type: ignore[dict-item]
        except (RuntimeError, IndexError, ZeroDivisionError):
            return None  # this misreading is not possible here

    right = made()
    if right is None or not scene.same(scene.view(right), scene.want):
        return
    for phrase, changed in reading.misread(settings):
        if any(settings[name] != value for name, value in changed.items()):
            wrong = made(changed)
            if wrong is not None and scene.same(wrong, scene.got):
                yield phrase


def stored_blobs(run: Run, node: Node) -> list[np.ndarray]:
    """A layer's blobs as the file has them, in the net's shapes; what the port made of them is under suspicion too."""
    file = find_weights(run.case.folder)
    stored = open_weights(file).get(node.name, ()) if file is not None else ()
    # A layer that shares its parameters may have none of its own in the file.
    if node.params and [blob.size for blob in stored] == [prod(param.shape) for param in node.params]:
        return [blob.numpy().reshape(param.shape) for blob, param in zip(stored, node.params, strict=True)]
    keys = name_graph(run.case.graph).state
    owners = [(param.owner or (node.index, k), param.shape) for k, param in enumerate(node.params)]
    return [run.case.state[keys[owner]].reshape(shape) for owner, shape in owners]


def _patterns(scene: Scene, _run: Run, _port: Backend) -> Iterator[str]:
    """What can be seen from both arrays, whatever the layer is."""
    got = scene.view(scene.got)
    if got.shape == scene.want.shape:
        yield from pattern(got.astype(np.float64), scene.want.astype(np.float64), scene.same, scene.whole)


def pattern(got: np.ndarray, want: np.ndarray, same: Callable[..., bool], whole: bool = True) -> Iterator[str]:
    """Simple relations between two arrays of one shape."""
    if not (np.isfinite(got).all() and np.isfinite(want).all()):
        odd = "Caffe" if np.isfinite(got).all() else "the port" if np.isfinite(want).all() else ""
        if odd:
            yield f"NaN or infinity on the side of {odd} only"
        return
    if same(got, np.maximum(want, 0)):
        yield "negative values are lost: a rectifier too many, or a negative slope dropped"
    power = float((want * want).sum())
    factor = float((got * want).sum()) / power if power else 0.0
    if want.size > 1 and abs(factor - 1) > 1e-6 and same(got, factor * want):
        yield f"a scale is missing or too much: every value is {factor:.6g} times Caffe's"
    offset = float((got - want).mean())
    if want.size > 1 and offset and same(got, want + offset):
        yield f"a constant is missing or too much: every value is {offset:+.6g} off"
    if whole:
        yield from _moved(got, want, same)


def _moved(got: np.ndarray, want: np.ndarray, same: Callable[..., bool]) -> Iterator[str]:
    """The right values in other places, or with a factor for each channel."""
    names = {0: "order of the batch", 1: "channel order", 2: "order of the rows", 3: "order of the columns"}
    for axis in range(want.ndim):
        if want.shape[axis] > 1 and same(got, np.flip(want, axis)):
            yield f"the {names.get(axis, f'order along axis {axis}')} is reversed"
    if want.ndim > 1 and want.shape[-1] == want.shape[-2] and same(got, want.swapaxes(-1, -2)):
        yield "the last two axes are swapped: transposed"
    if want.ndim > 1 and want[:, 0].size > 1:
        a, b = got.swapaxes(0, 1).reshape(want.shape[1], -1), want.swapaxes(0, 1).reshape(want.shape[1], -1)
        power = (b * b).sum(1)
        if power.all() and same(a, ((a * b).sum(1) / power)[:, None] * b):
            yield "each channel is off by a factor of its own: a scale per channel is missing or too much"
        if same(a, b + (a - b).mean(1, keepdims=True)):
            yield "each channel is off by a constant of its own: a bias is missing or too much"


def _reruns(scene: Scene, _run: Run, port: Backend) -> Iterator[str]:
    """The port itself, fed otherwise, gives Caffe's values."""

    def right(bottoms: Sequence[np.ndarray]) -> bool:
        try:
            made = port.alone(scene.node, bottoms)[scene.k]
        except (CannotRun, Unportable):
            return False
        return scene.same(scene.view(made), scene.want)

    first = scene.bottoms[0] if scene.bottoms else np.empty(0)
    if first.ndim > 1 and first.shape[1] > 1 and right([np.flip(first, 1).copy(), *scene.bottoms[1:]]):
        yield "the channel order of the bottom is reversed (BGR and RGB swapped)"
    if len(scene.bottoms) > 1 and right(scene.bottoms[::-1]):
        yield "the bottoms are taken in reverse order"


def _gradient(run: Run, failed: Comparison, port: Backend) -> str:
    """A relation between the port's gradient and Caffe's."""
    if failed.problem or not isinstance(port, Torch):
        return ""
    found = backward(run, run.torch())
    for name, got in found.items():
        if gradient_of(run.case, name) != (failed.layer, failed.what):
            continue
        want = np.asarray(run.case.arrays[name], np.float64)
        if got.shape == want.shape:
            scene = Scene(run.case.graph.nodes[0], 0, (), got, want, True, failed.allowed)
            return next((f"in the backward pass {phrase}" for phrase in pattern(got, want, scene.same)), "")
    return ""

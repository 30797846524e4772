"""A golden case: a folder with a net, its weights, and what Caffe computed. The format is in golden/README.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from caffeport.caffe.net import read_net
from caffeport.caffe.weights import open_weights
from caffeport.errors import BadCase
from caffeport.graph import Graph, Node, build
from caffeport.port import match
from caffeport.verify.draw import draw_inputs, draw_state
from caffeport.verify.meta import FORMAT, META_BYTES, read_meta
from caffeport.verify.npz import Npz
from caffeport.verify.recording import check_recording


@dataclass(frozen=True)
class Case:
    """One case. `meta` is meta.json, `arrays` the golden.npz; both are checked against the graph when opened."""

    folder: Path
    meta: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    graph: Graph
    state: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        """The case's name: its type and its folder."""
        return str(self.meta.get("name") or "/".join(self.folder.parts[-2:]))

    @property
    def drawn(self) -> bool:
        """Whether weights and inputs are drawn from a seed."""
        return "seed" in self.meta

    @cached_property
    def sampled(self) -> bool:
        """Whether any top was recorded by samples and statistics only."""
        return any(name.startswith("top/") and name.endswith("/sample") for name in self.arrays)

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """What the net's inputs are fed, by blob: as recorded, or else what the layer that gave them had on top."""
        drawn = draw_inputs(self.meta) if self.drawn and not self.has_inputs else {}
        given = drawn or {name[3:]: array for name, array in self.arrays.items() if name.startswith("in/")}
        for node in self.graph.nodes:
            for k, value in enumerate(node.tops if node.layer.source else ()):
                if value.blob not in given and (top := self.top(node, k)) is not None:
                    given[value.blob] = top
        return given

    @property
    def has_inputs(self) -> bool:
        """Whether the inputs are recorded."""
        return any(name.startswith("in/") for name in self.arrays)

    @cached_property
    def places(self) -> dict[int, int]:
        """Node index -> the layer's index in the recording (Caffe counts the Split layers that it inserts)."""
        recorded = [layer for layer in self.meta["layers"] if not layer.get("inserted")]
        names = [layer["name"] for layer in recorded]
        if names != [node.name for node in self.graph.nodes]:
            own = [node.name for node in self.graph.nodes]
            odd = next(pair for pair in zip_longest(own, names) if pair[0] != pair[1])
            raise BadCase(str(self.folder), f"the net has layer {odd[0]!r} where Caffe recorded {odd[1]!r}")
        return {index: layer["index"] for index, layer in enumerate(recorded)}

    def top(self, node: Node, k: int) -> np.ndarray | None:
        """What Caffe had in a top right after the layer ran; None where the case records samples only."""
        return self.arrays.get(f"top/{self.places[node.index]}/{k}")

    def recorded(self, name: str) -> tuple[Node, int]:
        """The node and the position of the parameter that ``<layer's index>/<k>`` stands for.

        Raises:
            BadCase: there is no such layer or parameter.
        """
        place, _, k = name.partition("/")
        node = self._by_place.get(place)
        if node is None or not (k.isascii() and k.isdecimal()) or int(k) >= len(node.params):
            raise BadCase(str(self.folder / "golden.npz"), f"has parameter {name}, which the net does not have")
        return node, int(k)

    @cached_property
    def _by_place(self) -> dict[str, Node]:
        """The nodes by their index in the recording, as names of arrays write it."""
        return {str(place): self.graph.nodes[index] for index, place in self.places.items()}

    @property
    def has_gradients(self) -> bool:
        """Whether gradients are recorded, or said to be."""
        return bool(self.meta.get("backward")) or any(name.startswith(("dbottom/", "dparam/")) for name in self.arrays)

    @property
    def backward(self) -> bool:
        """Whether gradients were computed: Caffe goes backward below a loss, or down to inputs that want a gradient.

        A recording with neither holds zeros for every parameter, which no backward pass wrote.
        """
        wanted = any(name.startswith("dbottom/") for name in self.arrays)
        lossy = any(weight for node in self.graph.nodes for weight in node.loss_weights)
        return bool(self.meta.get("backward")) and (wanted or lossy)

    def under(self, kind: str) -> Iterator[tuple[str, np.ndarray]]:
        """Recorded arrays of one kind (``seed``, ``dbottom``), by the rest of their names."""
        for name in self.arrays:
            if name.startswith(f"{kind}/"):
                yield name[len(kind) + 1 :], self.arrays[name]

    @property
    def files(self) -> dict[str, Path]:
        """The files of the case by what they are: net, weights, description, recording."""
        found = {"net": self.folder / "net.prototxt", "description": self.folder / "meta.json"}
        if weights := find_weights(self.folder):
            found["weights"] = weights
        return found | {"recording": self.folder / "golden.npz"}


def find_cases(path: Path) -> list[Path]:
    """Case folders at or below a path, in order of their names.

    Raises:
        BadCase: there is none.
    """
    found = sorted(meta.parent for meta in path.rglob("meta.json") if _is_case(meta.parent))
    if not found:
        raise BadCase(str(path), "holds no golden case", "a case has net.prototxt, meta.json and golden.npz")
    return found


def _is_case(folder: Path) -> bool:
    """Whether a folder records a net layer by layer; solver runs and predictions are described otherwise."""
    if (folder / "solver.prototxt").exists():
        return False
    try:
        with open(folder / "meta.json", encoding="utf-8", errors="replace") as stream:
            text = stream.read(META_BYTES)
    except OSError:
        return False
    # What does not even end as JSON does, beside a recording, is a broken case: to be refused, not passed over.
    return '"layers"' in text or (not text.rstrip().endswith("}") and (folder / "golden.npz").exists())


def open_case(folder: Path) -> Case:
    """Read a case, its net and weights included.

    Raises:
        BadCase: files missing or broken, of a newer format, or of another net.
        CaffeportError: the net itself cannot be read or ported.
    """
    meta = read_meta(folder / "meta.json")
    arrays = Npz(folder / "golden.npz")
    net = folder / "net.prototxt"
    if not net.is_file():
        raise BadCase(str(folder), "has no net.prototxt", "a case has net.prototxt, meta.json and golden.npz")
    graph = build(read_net(net, phase=meta.get("phase", "TEST")))
    check_recording(Case(folder, meta, arrays, graph, {}), arrays)
    weights = find_weights(folder)
    if weights is None and "seed" in meta:
        state = draw_state(graph, meta)
    else:
        state = match(graph, open_weights(weights) if weights else None).arrays()
    return Case(folder, meta, arrays, graph, state)


def find_weights(folder: Path) -> Path | None:
    """The weight file of a case, if it has one."""
    return next((path for name in ("net.caffemodel", "net.caffemodel.h5") if (path := folder / name).exists()), None)


__all__ = ["FORMAT", "Case", "find_cases", "find_weights", "open_case"]

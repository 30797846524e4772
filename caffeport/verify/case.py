"""A golden case: a folder with a net, its weights, and what Caffe computed. The format is in golden/README.md."""

from __future__ import annotations

import json
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
from caffeport.layers.shapes import show
from caffeport.port import match
from caffeport.verify.draw import draw_inputs, draw_state
from caffeport.verify.npz import Npz

#: The newest format of a case that is read; one without a number is of format 1.
FORMAT = 1
#: The largest meta.json that is read.
META_BYTES = 16 << 20


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
        """Whether tops were recorded by samples and statistics only."""
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
    try:
        described = '"layers"' in (folder / "meta.json").read_text(errors="replace")
    except OSError:
        return False
    return described and (folder / "net.prototxt").exists() and not (folder / "solver.prototxt").exists()


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
    weights = find_weights(folder)
    if weights is None and "seed" in meta:
        state = draw_state(graph, meta)
    else:
        state = match(graph, open_weights(weights) if weights else None).arrays()
    case = Case(folder, meta, arrays, graph, state)
    check_shapes(case, arrays)
    return case


def check_shapes(case: Case, arrays: Npz) -> None:
    """Refuse a recording whose blobs are not those of the net.

    Raises:
        BadCase: with the first layer, blob and both shapes.
    """
    where = str(arrays.path)
    for node in case.graph.nodes:
        place = case.places[node.index]
        for k, value in enumerate(node.tops):
            name = f"top/{place}/{k}"
            found = arrays.entries.get(name)
            if found is None and f"{name}/sample" not in arrays:
                missing = f"has no {name}, the top {value.blob!r} of layer {node.name!r}"
                raise BadCase(where, missing, "every top is recorded")
            # A top of another shape may be the port's mistake, and is compared; what is fed must fit the net.
            if found is not None and found.shape != value.shape and node.layer.source:
                own, recorded = show(value.shape), show(found.shape)
                raise BadCase(where, f"input {value.blob!r} is {recorded}, the net wants {own}")
    for value in case.graph.inputs:
        found = arrays.entries.get(f"in/{value.blob}")
        if found is not None and found.shape != value.shape:
            raise BadCase(where, f"input {value.blob!r} is {show(found.shape)}, the net wants {show(value.shape)}")
    tops = {f"top/{case.places[node.index]}/{k}" for node in case.graph.nodes for k in range(len(node.tops))}
    blobs = {value.blob for node in case.graph.nodes for value in node.tops}
    for name in arrays:
        kind, _, rest = name.partition("/")
        stem = name.removesuffix("/sample").removesuffix("/stats")
        if (kind == "top" and stem not in tops) or (kind in ("in", "out", "seed", "dbottom") and rest not in blobs):
            raise BadCase(where, f"has {name}, which the net does not have", "the recording is of another net")


def find_weights(folder: Path) -> Path | None:
    """The weight file of a case, if it has one."""
    return next((path for name in ("net.caffemodel", "net.caffemodel.h5") if (path := folder / name).exists()), None)


def read_meta(path: Path) -> Mapping[str, Any]:
    """A case's meta.json, checked.

    Raises:
        BadCase: it is missing, no JSON, without a list of layers, or of a newer format.
    """
    try:
        if path.stat().st_size > META_BYTES:
            raise BadCase(str(path), f"has {path.stat().st_size} bytes", f"at most {META_BYTES} are read")
        meta = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadCase(str(path), f"cannot be read ({error})", "meta.json describes a case") from None
    if not isinstance(meta, dict) or not isinstance(meta.get("layers"), list):
        raise BadCase(str(path), "has no list of layers", "meta.json lists the layers that Caffe ran")
    version = meta.get("format", 1)
    if not isinstance(version, int) or version > FORMAT or version < 1:
        raise BadCase(str(path), f"is of format {version!r}", f"this version reads up to {FORMAT}", "update caffeport")
    for layer in meta["layers"]:
        known = isinstance(layer, dict) and isinstance(layer.get("name"), str) and isinstance(layer.get("index"), int)
        if not known:
            raise BadCase(str(path), f"lists a layer as {str(layer)[:80]}", "each has a name and an index")
    if "seed" in meta and not (isinstance(meta["seed"], int) and 0 <= meta["seed"] < 2**32 - 1):
        raise BadCase(str(path), f"seed is {meta['seed']!r}", "a number from 0 to 4294967294 is possible")
    return meta

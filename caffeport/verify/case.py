"""A golden case: a folder with a net, its weights, and what Caffe computed. The format is in golden/README.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from caffeport.caffe.net import read_net
from caffeport.caffe.weights import open_weights
from caffeport.errors import BadCase
from caffeport.graph import Graph, Node, build
from caffeport.port import match
from caffeport.verify.draw import draw_inputs, draw_state

#: The largest case that is read at all, as a bound for hostile files.
MOST_BYTES = 4 << 30


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
        """Whether weights and inputs are drawn from a seed, and the tops recorded by samples."""
        return "seed" in self.meta

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """What the net's inputs are fed, by blob."""
        if self.drawn:
            return draw_inputs(self.meta)
        return {name[3:]: array for name, array in self.arrays.items() if name.startswith("in/")}

    @cached_property
    def places(self) -> dict[int, int]:
        """Node index -> the layer's index in the recording (Caffe counts the Split layers that it inserts)."""
        recorded = [layer for layer in self.meta["layers"] if not layer["inserted"]]
        names = [layer["name"] for layer in recorded]
        if names != [node.name for node in self.graph.nodes]:
            own = [node.name for node in self.graph.nodes]
            odd = next(pair for pair in _pairs(own, names) if pair[0] != pair[1])
            raise BadCase(str(self.folder), f"the net has layer {odd[0]!r} where Caffe recorded {odd[1]!r}")
        return {index: layer["index"] for index, layer in enumerate(recorded)}

    def top(self, node: Node, k: int) -> np.ndarray | None:
        """What Caffe had in a top right after the layer ran; None where the case records samples only."""
        return self.arrays.get(f"top/{self.places[node.index]}/{k}")

    def under(self, kind: str) -> Iterator[tuple[str, np.ndarray]]:
        """Recorded arrays of one kind (``seed``, ``dbottom``), by the rest of their names."""
        for name, array in self.arrays.items():
            if name.startswith(f"{kind}/"):
                yield name[len(kind) + 1 :], array


def _pairs(own: list[str], recorded: list[str]) -> list[tuple[str | None, str | None]]:
    length = max(len(own), len(recorded))
    pad: list[None] = [None]
    return list(zip(own + pad * (length - len(own)), recorded + pad * (length - len(recorded)), strict=True))


def find_cases(path: Path) -> list[Path]:
    """Case folders at or below a path, in order of their names.

    Raises:
        BadCase: there is none.
    """
    found = sorted(meta.parent for meta in path.rglob("meta.json") if (meta.parent / "net.prototxt").exists())
    if not found:
        raise BadCase(str(path), "holds no golden case", "a case has net.prototxt, meta.json and golden.npz")
    return found


def open_case(folder: Path) -> Case:
    """Read a case, its net and weights included.

    Raises:
        BadCase: files missing or broken, or of another net.
        CaffeportError: the net itself cannot be read or ported.
    """
    meta = _read_meta(folder / "meta.json")
    arrays = read_arrays(folder / "golden.npz")
    graph = build(read_net(folder / "net.prototxt", phase=meta.get("phase", "TEST")))
    if "seed" in meta:
        state = draw_state(graph, meta)
    else:
        state = match(graph, open_weights(found) if (found := _weights(folder)) else None).arrays()
    return Case(folder, meta, arrays, graph, state)


def _weights(folder: Path) -> Path | None:
    return next((path for name in ("net.caffemodel", "net.caffemodel.h5") if (path := folder / name).exists()), None)


def _read_meta(path: Path) -> Mapping[str, Any]:
    try:
        meta = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadCase(str(path), f"cannot be read ({error})", "meta.json describes a case") from None
    if not isinstance(meta, dict) or not isinstance(meta.get("layers"), list):
        raise BadCase(str(path), "has no list of layers", "meta.json lists the layers that Caffe ran")
    return meta


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz; pickled objects are refused.

    Raises:
        BadCase: the file is missing, broken, too large, or holds objects.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadCase(str(path), f"has {path.stat().st_size} bytes", f"at most {MOST_BYTES} are read")
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise BadCase(str(path), f"cannot be read ({error})", "golden.npz holds plain arrays, no pickles") from None

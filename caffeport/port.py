"""A net with its weights: which blob of the file is which parameter of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from caffeport.caffe.blob import Blob
from caffeport.caffe.deploy import deploy_with_notes, needs_deploy
from caffeport.caffe.net import read_net
from caffeport.caffe.weights import Weights, open_weights
from caffeport.emit.names import name_graph
from caffeport.errors import CaffeportError, Refused, WeightsMismatch, raise_all
from caffeport.graph import Graph, Node, build
from caffeport.layers import Shape
from caffeport.layers.shapes import show

if TYPE_CHECKING:
    import numpy as np

    from caffeport.artefacts.recipe import Recipe

AnyPath = str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Port:
    """What is emitted: a graph, and the blob for each of its own parameters by (node index, position).

    `notes` are sentences about what the files left open and how it was told (the shape of an input).
    `recipe` says how pictures become the net's input, where that is known; every artefact carries it. `pictures` asks
    for an .onnx that reads pictures itself: their layout (hwc, nchw) and the name of the output map.
    """

    graph: Graph
    blobs: Mapping[tuple[int, int], Blob]
    unused: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    recipe: Recipe | None = None
    pictures: tuple[str, str] | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays by state_dict key, shaped as the port's parameters; shared ones stand under each of their keys."""
        keys = name_graph(self.graph).state
        found: dict[str, np.ndarray] = {}
        for node in self.graph.computing:
            for k, param in enumerate(node.params):
                owner = param.owner
                key = keys[node.index, k]
                if owner is None:
                    values = self.blobs[node.index, k].numpy()
                    found[key] = values.astype("float32", copy=False).reshape(param.shape)
                else:
                    found[key] = found[keys[owner]]
        return found


def open_port(
    net: AnyPath | None, weights: AnyPath | None, phase: str = "TEST", shapes: Mapping[str, Shape] | None = None
) -> Port:
    """The port of a net and its weights.

    Args:
        net: a .prototxt (or a binary net); without one, the net inside the weights is taken.
        weights: a .caffemodel or .caffemodel.h5; may be left out for a net without parameters.
        phase: TEST, where a training net becomes a deploy net; or TRAIN, the net as it was trained.
        shapes: other shapes for the net's inputs, by blob.

    Raises:
        CaffeportError: anything in the two that cannot be read, or that do not belong together.
    """
    sources = tuple(Path(path) for path in (net, weights) if path is not None)
    if not sources:
        raise Refused("open_port", "has neither a net nor weights", "a .prototxt, a .caffemodel, or both")
    stored = open_weights(weights) if weights is not None else None
    given = dict(shapes or {})
    definition = read_net(sources[0], phase)
    notes: tuple[str, ...] = ()
    if phase == "TEST" and needs_deploy(definition):
        definition, notes = deploy_with_notes(sources[0], stored, given)
        given = {}
    graph = build(definition, given)
    return replace(match(graph, stored), sources=sources, notes=notes + graph.notes)


def match(graph: Graph, weights: Weights | None) -> Port:
    """Join a graph with the weights of a file, by layer name as Caffe does.

    Layers that only the file has are listed as unused; everything that does not fit is raised, all at once.

    Raises:
        WeightsMismatch, Problems: a layer without weights, another count of blobs, another shape.
    """
    blobs: dict[tuple[int, int], Blob] = {}
    problems: list[CaffeportError] = []
    filled: dict[str, Node] = {}
    for node in graph.computing:
        if not node.params:
            continue
        try:
            _check_name(node, filled.setdefault(node.name, node))
            # HDF5 files leave out a parameter that another layer shares and owns.
            for k, blob in enumerate(_blobs_of(node, weights)):
                if blob.present or node.params[k].owner is None:
                    check_shape(node, k, node.params[k].shape, blob)
                if node.params[k].owner is None:
                    blobs[node.index, k] = blob
        except CaffeportError as problem:
            problems.append(problem)
    raise_all(problems)
    names = {node.name for node in graph.nodes}
    return Port(graph, blobs, tuple(name for name in weights or () if name not in names))


def _check_name(node: Node, first: Node) -> None:
    """Refuse a second layer of a name: Caffe fills the first (CopyTrainedLayersFrom), and the rest stay as drawn."""
    if first is not node and any(param.owner is None for param in node.params):
        raise WeightsMismatch(
            node.label,
            f"has the name of {first.label}, and weights of its own",
            "Caffe finds weights by layer name and loads them into the first layer of that name only",
            "give one of them another name, in the net and in the weights",
        )


def _blobs_of(node: Node, weights: Weights | None) -> tuple[Blob, ...]:
    wanted = len(node.params)
    if weights is None:
        raise WeightsMismatch(node.label, f"needs {wanted} blobs of weights", "", "give a .caffemodel with the net")
    shared = weights.era == "HDF5" and all(param.owner for param in node.params[len(weights.get(node.name, ())) :])
    if node.name not in weights and not shared:
        near = ", ".join(repr(name) for name, blobs in weights.items() if len(blobs) == wanted)
        raise WeightsMismatch(
            node.label,
            f"has no weights in {weights.file}",
            f"layers there with {wanted} blobs: {near[:300] or 'none'}",
            "Caffe matches layers by name: check that net and weights belong together",
        )
    found = weights.get(node.name, ())
    if len(found) != wanted and not shared:
        raise WeightsMismatch(
            node.label,
            f"has {len(found)} blobs in {weights.file} ({', '.join(show(blob.shape) for blob in found)})",
            f"the net wants {wanted} ({', '.join(show(param.shape) for param in node.params)})",
        )
    return found


def check_shape(node: Node, k: int, wanted: Shape, blob: Blob) -> None:
    """Accept what Caffe would load; refuse the rest with both shapes and, where one can be told, the reason."""
    if blob.fits(wanted):
        return
    found = blob.shape
    hint = "count and trailing axes must agree"
    grouped = len(wanted) > 2 and wanted[0] == found[0] and wanted[2:] == found[2:] and found[1] > 0
    if grouped and node.type == "Convolution" and node.shapes[0][1] % found[1] == 0:
        hint = f"these weights fit group: {node.shapes[0][1] // found[1]} in the net's convolution_param"
    elif prod(wanted) == prod(found):
        hint = "the counts agree, the axes do not"
    raise WeightsMismatch(
        node.label, f"blob {k} is {show(found)} in the weights", f"the net wants {show(wanted)}", hint
    )

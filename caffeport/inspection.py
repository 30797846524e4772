"""What is in a file that Caffe wrote, as plain data. Neither torch nor NumPy is needed for it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from caffeport.caffe import wire as w
from caffeport.caffe.binary import read_message
from caffeport.caffe.net import build_net, read_net_message
from caffeport.caffe.tree import Message
from caffeport.caffe.upgrade import era as era_of
from caffeport.caffe.weights import Weights, open_solverstate, open_weights
from caffeport.caffe.wire import Wire
from caffeport.errors import CaffeportError, UnreadableFile
from caffeport.graph import Graph, build
from caffeport.layers import Shapes, layer_class


@dataclass(frozen=True, slots=True)
class Row:
    """One layer: `tops` are blob names, `shapes` theirs (empty where they cannot be inferred), `blobs` the file's.

    `ported` says whether the layer type is known; `problem` what stands in the way, if anything does.
    """

    name: str
    type: str
    tops: tuple[str, ...] = ()
    shapes: Shapes = ()
    blobs: Shapes = ()
    parameters: int = 0
    macs: int = 0
    ported: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file holds.

    Attributes:
        file, bytes: which file, and its size.
        kind: ``net``, ``weights with net``, ``weights``, ``solver state`` or ``blob``.
        era: V0, V1, V2 or HDF5, where the kind has one.
        rows: its layers.
        facts: further name and value pairs.
        problems: what keeps the net from being ported, one sentence each.
    """

    file: str
    bytes: int
    kind: str
    era: str = ""
    rows: tuple[Row, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Numbers learned, over all layers."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass at the stated batch."""
        return sum(row.macs for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self) | {"parameters": self.parameters, "macs": self.macs}


def inspect(path: str | os.PathLike[str], phase: str = "TEST") -> Inspection:
    """Look into a net, weights, a solver state or a mean file; told apart by content.

    Raises:
        UnreadableFile: none of these, or broken.
    """
    wire = Wire.open(path)
    kind = w.kind_of(wire.data)
    size = Path(path).stat().st_size
    if kind == "text":
        return _net(read_net_message(path), os.fspath(path), size, phase)
    if kind == "hdf5":
        return _hdf5(os.fspath(path), size)
    return _binary(wire, size, phase)


def _binary(wire: Wire, size: int, phase: str) -> Inspection:
    pieces = {(piece.number, piece.kind) for piece in wire.fields()}
    # A V1 net has its layers in field 2, a solver state the name of its weight file; that one begins with a number.
    if (100, w.BYTES) in pieces or ((2, w.BYTES) in pieces and (1, w.VARINT) not in pieces):
        weights = open_weights(wire.file)
        return _net(read_net_message(wire.file), wire.file, size, phase, weights)
    if (1, w.VARINT) in pieces and ((2, w.BYTES) in pieces or (3, w.BYTES) in pieces):
        return _solver_state(wire.file, size)
    blob = read_message(wire, "BlobProto", 0, len(wire.data))
    shape = _shape(blob)
    if not shape:
        raise UnreadableFile(wire.file, "holds no layers, no solver state and no blob", "", "is it a Caffe file?")
    return Inspection(wire.file, size, "blob", facts=(("shape", "x".join(map(str, shape))),))


def _shape(blob: Message) -> tuple[int, ...]:
    values = {field.name: field.value for field in blob.fields}
    nested = values.get("shape")
    if isinstance(nested, Message):
        return tuple(int(f.value) for f in nested.fields if f.name == "dim" and isinstance(f.value, int))
    sides = [values.get(name) for name in ("num", "channels", "height", "width")]
    return tuple(side for side in sides if isinstance(side, int)) if any(sides) else ()


def _solver_state(file: str, size: int) -> Inspection:
    state = open_solverstate(file)
    facts = (
        ("iteration", str(state.iter)),
        ("weights", state.learned_net or "not named"),
        ("current step", str(state.current_step)),
        ("history", f"{len(state.history)} blobs, {sum(blob.size for blob in state.history):,} values"),
    )
    return Inspection(file, size, "solver state", facts=facts)


def _hdf5(file: str, size: int) -> Inspection:
    try:
        weights = open_weights(file)
    except CaffeportError:
        return _solver_state(file, size)
    return Inspection(file, size, "weights", "HDF5", tuple(_stored(weights)))


def _stored(weights: Weights) -> list[Row]:
    return [
        Row(
            layer.name,
            weights.types.get(layer.name, ""),
            blobs=tuple(blob.shape for blob in layer.blobs),
            parameters=sum(blob.size for blob in layer.blobs),
        )
        for layer in weights.stored
    ]


def _net(message: Message, file: str, size: int, phase: str, weights: Weights | None = None) -> Inspection:
    kind = "weights with net" if weights is not None else "net"
    era = era_of(message)
    problems: list[str] = []
    graph: Graph | None = None
    try:
        net = build_net(message, file, phase)
    except CaffeportError as error:
        return Inspection(file, size, kind, era, tuple(_stored(weights)) if weights else (), (), _sentences(error))
    try:
        graph = build(net)
    except CaffeportError as error:
        problems += _sentences(error)
    if graph is not None:
        rows = tuple(_row(graph, index, weights) for index in range(len(graph.nodes)))
    else:
        rows = tuple(
            Row(
                d.name,
                d.type,
                d.tops,
                (),
                *_blobs(weights, d.name),
                macs=0,
                ported=layer_class(d.type) is not None,
                problem=_about(problems, d.label),
            )
            for d in net
        )
    return Inspection(file, size, kind, era, rows, (("name", net.name), ("phase", phase)), tuple(problems))


def _sentences(error: CaffeportError) -> tuple[str, ...]:
    return tuple(str(problem) for problem in error.problems)


def _about(problems: list[str], label: str) -> str:
    return next((problem[len(label) + 2 :] for problem in problems if problem.startswith(label)), "")


def _blobs(weights: Weights | None, name: str) -> tuple[Shapes, int]:
    found = weights.get(name, ()) if weights is not None else ()
    return tuple(blob.shape for blob in found), sum(blob.size for blob in found)


def _row(graph: Graph, index: int, weights: Weights | None) -> Row:
    node = graph.nodes[index]
    shapes, parameters = _blobs(weights, node.name)
    if weights is None:
        shapes = tuple(param.shape for param in node.params)
        parameters = sum(prod(param.shape) for param in node.params if param.owner is None)
    tops = tuple(value.blob for value in node.tops)
    return Row(node.name, node.type, tops, node.top_shapes, shapes, parameters, node.macs)

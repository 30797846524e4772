"""A graph as ONNX: Caffe's layer and blob names, one node per layer where ONNX has the operator, a free batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from caffeport.batch import Free, at_batch, following
from caffeport.emit.names import name_graph
from caffeport.errors import CaffeportError, Unportable, raise_all
from caffeport.graph import Graph, Node, Value, varying_values
from caffeport.graph.names import Unused
from caffeport.layers import Shape
from caffeport.layers.base import Body

OPSET = 17
#: The intermediate representation version that goes with the opset, so that older runtimes read the file too.
IR_VERSION = 8

_TODO = "leave .onnx out; .pt, .py and .pt2 have the layer"


class _Nodes:
    """Collects nodes and constants; one `_Site` per layer writes into it."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.known: dict[bytes, str] = {}
        # Nodes and values have names of two kinds; each is unique among its own. Layers choose before helpers.
        self.titles = Unused(mark=".{}".format)
        self.layers = {node.index: self.titles.take(node.name) for node in graph.computing}
        values = {value.name for node in graph.nodes for value in (*node.bottoms, *node.tops)}
        self.unused = Unused(values, ".{}".format)

    def add(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", **more: Any) -> None:
        """A node; without a name of its own it is called as the first value that it makes."""
        name = name or self.titles.take(outputs[0])
        self.nodes.append(helper.make_node(op_type, list(inputs), list(outputs), name=name, **more))

    def shaped(self, name: str, shape: Shape, stored: Shape) -> str:
        """A parameter in the shape that a layer wants, where it shares one of another shape."""
        if shape == stored:
            return name
        sides, made = self.constant(f"{name}/ints", np.asarray(shape, np.int64)), self.unused.take(f"{name}/Reshape")
        self.add("Reshape", [name, sides], [made])
        return made

    def constant(self, stem: str, array: np.ndarray) -> str:
        tensor = numpy_helper.from_array(array)
        key = tensor.SerializeToString()
        if key not in self.known:
            tensor.name = self.known[key] = self.unused.take(stem)
            self.constants.append(tensor)
        return self.known[key]


class _Site:
    """What one layer sees: `layers.base.Onnx`."""

    def __init__(self, nodes: _Nodes, node: Node, params: tuple[str, ...]) -> None:
        self._nodes, self._node, self.params = nodes, node, params
        self.bottoms = tuple(value.name for value in node.bottoms)
        self.tops = tuple(value.name for value in node.tops)
        self.shapes, self.top_shapes = node.shapes, node.top_shapes
        self.param_shapes = tuple(param.shape for param in node.params)
        self._first = True

    def op(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str] | None = None, **attributes: Any) -> str:
        made = [self._nodes.unused.take(f"{self._node.name}/{op_type}")] if outputs is None else list(outputs)
        # The node that gives the layer's top carries the layer's name; helpers are named after what they do.
        name = self._nodes.layers[self._node.index] if outputs is not None and self._first else ""
        self._first = self._first and outputs is None
        self._nodes.add(op_type, inputs, made, name, **attributes)
        return made[0]

    def ops(self, op_type: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> tuple[str, ...]:
        made = tuple(self._nodes.unused.take(f"{self._node.name}/{op_type}") for _ in range(outputs))
        self._nodes.add(op_type, inputs, made, **attributes)
        return made

    def scan(self, body: Body, states: Sequence[str], along: Sequence[str], outputs: Sequence[str]) -> tuple[str, ...]:
        stem = self._node.name
        inside = [self._nodes.unused.take(f"{stem}/state") for _ in states]
        elements = [self._nodes.unused.take(f"{stem}/element") for _ in along]
        outside, self._nodes.nodes = self._nodes.nodes, []
        try:
            following, put = body(inside, elements)
            step = self._nodes.nodes
        finally:
            self._nodes.nodes = outside
        # Weights and constants stand outside, where the body sees them by name.
        taken, given = ([_anything(name) for name in names] for names in ([*inside, *elements], [*following, *put]))
        graph = helper.make_graph(step, f"{stem}/step", taken, given)
        last = tuple(self._nodes.unused.take(f"{stem}/last") for _ in states)
        name = self._nodes.layers[self._node.index]
        self._nodes.add("Scan", [*states, *along], [*last, *outputs], name, body=graph, num_scan_inputs=len(along))
        self._first = False
        return last

    def ints(self, values: Sequence[int] | Sequence[Sequence[int]] | int) -> str:
        return self._nodes.constant(f"{self._node.name}/ints", np.asarray(values, np.int64))

    def floats(self, values: Any) -> str:
        return self._nodes.constant(f"{self._node.name}/floats", np.asarray(values, np.float32))

    def refuse(self, reason: str) -> Unportable:
        return Unportable(self._node.label, reason, "", _TODO)


def _anything(name: str) -> onnx.ValueInfoProto:
    """A float value of a loop's body, its shape left to the runtime."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _nodes(graph: Graph) -> tuple[_Nodes, dict[str, tuple[int, int]]]:
    """All nodes of the graph, and which parameter each initializer stands for."""
    names, nodes = name_graph(graph), _Nodes(graph)
    initializers: dict[str, tuple[int, int]] = {}
    problems: list[CaffeportError] = []
    for node in graph.computing:
        params = []
        for k, param in enumerate(node.params):
            place = param.owner or (node.index, k)
            key = names.state[place]
            if key not in initializers:
                nodes.unused.taken.add(key)
                initializers[key] = place
            params.append(nodes.shaped(key, param.shape, graph.stored(param).shape))
        if not all(value.name for value in (*node.bottoms, *node.tops)):
            problems.append(Unportable(node.label, "has a blob without a name", "ONNX leaves a value out so", _TODO))
            continue
        try:
            node.layer.onnx(_Site(nodes, node, tuple(params)))
        except CaffeportError as problem:
            problems.append(problem)
    raise_all(problems)
    return nodes, initializers


def _free(graph: Graph, nodes: _Nodes) -> dict[str, Free] | None:
    """How sides follow the batch, if the very same nodes and constants come out for another one."""
    wide = at_batch(graph, 2)
    if wide is None:
        return None
    other, _ = _nodes(wide)
    return following(graph, wide) if nodes.nodes == other.nodes and nodes.constants == other.constants else None


def emit(graph: Graph, state: Mapping[str, np.ndarray], keep: Sequence[Value] = ()) -> onnx.ModelProto:
    """The graph as an ONNX model.

    Args:
        graph: what to compute.
        state: float32 arrays by state_dict key (see `emit.names.name_graph`).
        keep: values to give out besides the graph's outputs.

    Raises:
        Unportable, Problems: layers that ONNX cannot say, all at once.
    """
    nodes, initializers = _nodes(graph)
    free = _free(graph, nodes)
    varying = varying_values(graph) if free is None else frozenset()
    outputs = dict.fromkeys((*graph.outputs, *keep))
    proto = helper.make_graph(
        nodes.nodes,
        graph.name or "net",
        [_info(value, free) for value in graph.inputs],
        [_info(value, free, varying) for value in outputs],
        [numpy_helper.from_array(np.asarray(state[key]), key) for key in initializers] + nodes.constants,
    )
    return helper.make_model(
        proto,
        producer_name="caffeport",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def _info(value: Value, free: Mapping[str, Free] | None, varying: Collection[str] = ()) -> onnx.ValueInfoProto:
    sides = _sides(value.shape, (free or {}).get(value.name))
    if value.name in varying:
        sides = [None] * len(sides)
    return helper.make_tensor_value_info(value.name, TensorProto.FLOAT, sides)


def _sides(shape: Shape, free: Free | None) -> list[int | str | None]:
    """Sides for ONNX: 'N' for the batch, no size where a side follows it otherwise."""
    if free is None:
        return list(shape)
    return [side if times == 0 else "N" if times == 1 else None for side, times in zip(shape, free, strict=True)]

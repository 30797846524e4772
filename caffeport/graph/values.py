"""What a graph is made of: values, parameters, nodes. Frozen, and without a word on how they came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from caffeport.caffe.net import LayerDef, NetDef, ParamSpec
from caffeport.layers import Layer, Shape, Shapes


@dataclass(frozen=True, slots=True)
class Value:
    """One version of a blob.

    Attributes:
        name: unique in the graph: the blob's name for its last version, ``blob@layer`` for one overwritten in place.
        blob: the blob's name in Caffe.
        shape: as inferred, the batch at the size that the net states.
    """

    name: str
    blob: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a node; `owner` is (node index, position) of the parameter that it shares, if it does."""

    shape: Shape
    spec: ParamSpec
    owner: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in its place. `index` is its position in the graph; `loss_weights` has one number per top."""

    index: int
    layer: Layer
    definition: LayerDef
    bottoms: tuple[Value, ...]
    tops: tuple[Value, ...]
    params: tuple[Param, ...]
    loss_weights: tuple[float, ...]
    macs: int

    @property
    def name(self) -> str:
        """The layer's name in Caffe."""
        return self.definition.name

    @property
    def type(self) -> str:
        """The layer's type in Caffe."""
        return self.definition.type

    @property
    def label(self) -> str:
        """File, line, name and type, for messages."""
        return self.definition.label

    @property
    def shapes(self) -> Shapes:
        """Shapes of the bottoms."""
        return tuple(value.shape for value in self.bottoms)

    @property
    def top_shapes(self) -> Shapes:
        """Shapes of the tops."""
        return tuple(value.shape for value in self.tops)


@dataclass(frozen=True, slots=True)
class Graph:
    """A net ready to be emitted. Sources (Input, data layers) are nodes too; their tops are the `inputs`.

    `notes` tell what the net says without effect.
    """

    name: str
    net: NetDef
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    notes: tuple[str, ...] = ()

    @property
    def computing(self) -> Iterator[Node]:
        """The nodes that compute something: all but the sources."""
        return (node for node in self.nodes if not node.layer.source)

    @property
    def parameters(self) -> int:
        """How many numbers the net has learned, shared ones counted once."""
        return sum(prod(param.shape) for node in self.nodes for param in node.params if param.owner is None)

    def stored(self, param: Param) -> Param:
        """The parameter that holds the numbers: itself, or the one that it shares, which may have another shape."""
        return param if param.owner is None else self.nodes[param.owner[0]].params[param.owner[1]]

    def alone(self, node: Node) -> Graph:
        """The graph of this one node, its bottoms as inputs and its tops as outputs."""
        params = tuple(replace(param, owner=None) for param in node.params)
        only = replace(node, index=0, params=params)
        inputs = tuple(dict.fromkeys(node.bottoms))
        return Graph(node.name, self.net, (only,), inputs, node.tops)


def varying_values(graph: Graph) -> frozenset[str]:
    """Values with sides that depend on the data; their shapes tell the most that is possible."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.layer.varying or any(value.name in found for value in node.bottoms):
            found.update(value.name for value in node.tops)
    return frozenset(found)

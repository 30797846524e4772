"""A net as a graph of values: in-place blobs undone, shapes inferred, shared parameters tied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from caffeport.caffe.net import NetDef
from caffeport.graph.names import with_automatic_tops
from caffeport.graph.reading import read_all
from caffeport.graph.values import Graph, Node, Param, Value, varying_values
from caffeport.graph.wiring import Builder
from caffeport.layers import Shape

__all__ = ["Graph", "Node", "Param", "Value", "build", "rewire", "varying_values"]


def build(net: NetDef, shapes: Mapping[str, Shape] | None = None) -> Graph:
    """The graph of a normalised net.

    Args:
        net: as `caffe.net.read_net` gives it.
        shapes: other shapes for the net's inputs, by blob.

    Raises:
        Problems, UnknownLayer, Refused: everything in the net that cannot be ported, all at once.
    """
    net = with_automatic_tops(net)
    notes: list[str] = []
    layers = read_all(net, notes)
    return replace(Builder(net, layers, shapes or {}).run(), notes=tuple(notes))


def rewire(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """The same layers, not read again, for other shapes of the whole net's inputs. Raises Refused."""
    return Builder(graph.net, [node.layer for node in graph.nodes], shapes).run()

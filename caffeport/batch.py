"""Which sides of a net's values follow the batch: found by wiring the net again for a larger one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product
from math import gcd

from caffeport.errors import CaffeportError
from caffeport.graph import Graph, rewire
from caffeport.layers import Shape

#: How many ways to lay the batch are tried, for nets whose sequences come from many inputs.
_MOST_TRIES = 64

#: For each side of a value: how many times the batch it is, 0 where it stays, -1 where it grows in some other way.
Free = tuple[int, ...]


def at_batch(graph: Graph, factor: int) -> Graph | None:
    """The same net with the same modules for a batch `factor` times as large; None where it does not allow that.

    None too for a part of a net, as `Graph.alone` gives it, and for a net without inputs: nothing there says batch.
    """
    if not any(node.layer.source for node in graph.nodes):
        return None
    for axes in _layouts(graph):
        wide = _widened(graph, axes, factor)
        if wide is not None:
            return wide
    return None


def free_axes(graph: Graph) -> dict[str, Free] | None:
    """For each value, how its sides follow the batch; None where the batch is fixed by the net itself."""
    wide = at_batch(graph, 2)
    return None if wide is None else following(graph, wide)


def following(graph: Graph, wide: Graph) -> dict[str, Free]:
    """For each value of a graph, how its sides follow the batch, given the same graph at twice the batch."""
    own, other = ([value for node in net.nodes for value in node.tops] for net in (graph, wide))
    inputs = {value.name for value in graph.inputs}
    pairs = [(a.name, a.shape, b.shape) for a, b in zip(own, other, strict=True)]
    batch = gcd(*(x for name, *shapes in pairs if name in inputs for x, y in zip(*shapes, strict=True) if x != y))
    return {name: _multiples(shape, twin, batch) for name, shape, twin in pairs}


def _multiples(shape: Shape, twin: Shape, batch: int) -> Free:
    sides = zip(shape, twin, strict=True)
    return tuple(0 if x == y else x // batch if y == 2 * x and x % batch == 0 else -1 for x, y in sides)


def _layouts(graph: Graph) -> Iterator[Mapping[str, int]]:
    """The axis of the batch in each input, by blob: the first, but behind the steps of a sequence where there are any.

    What a layer over sequences takes tells its inputs; for those that reach one through other layers both are tried.
    """
    said: dict[str, set[int]] = {}
    for node in graph.computing:
        axes = [node.layer.batch_axis(k) for k in range(len(node.bottoms))]
        if any(axes):
            for value, axis in zip(node.bottoms, axes, strict=True):
                said.setdefault(value.blob, set()).add(axis)
    told = {value.blob: max(said.get(value.blob, {0})) for value in graph.inputs}
    left = [value.blob for value in graph.inputs if value.blob not in said and len(value.shape) > 1] if said else []
    for choice in islice(product((0, 1), repeat=len(left)), _MOST_TRIES):
        yield told | dict(zip(left, choice, strict=True))


def _widened(graph: Graph, axes: Mapping[str, int], factor: int) -> Graph | None:
    shapes = {}
    for value in graph.inputs:
        axis = axes[value.blob]
        if len(value.shape) > axis:
            shapes[value.blob] = (*value.shape[:axis], value.shape[axis] * factor, *value.shape[axis + 1 :])
    try:
        wide = rewire(graph, shapes)
    except CaffeportError:
        return None
    nodes = zip(graph.computing, wide.computing, strict=True)
    same = all(node.layer.torch(node.shapes) == twin.layer.torch(twin.shapes) for node, twin in nodes)
    return wide if same else None

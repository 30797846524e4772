"""What a module returns, beside what its layers gave: a port may compute everything rightly and hand over the wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from caffeport.graph import Graph, Value
from caffeport.verify.compare import Comparison

#: Top k of node i.
Place = tuple[int, int]


def ends_of(graph: Graph) -> dict[Place, Value]:
    """The outputs of a graph that a layer computes, by the tops that they are."""
    ends = set(graph.outputs)
    tops = (((node.index, k), value) for node in graph.computing for k, value in enumerate(node.tops))
    return {place: value for place, value in tops if value in ends}


def by_place(returned: Any, ends: Mapping[Place, Value]) -> dict[Place, Tensor]:
    """What a module returned, by the tops that it stands for; a training net's outputs come behind its loss."""
    found = returned[1] if isinstance(returned, tuple) and len(returned) == 2 else returned
    if not isinstance(found, Mapping):
        found = {value.blob: found for value in ends.values()} if len(ends) == 1 else {}
    return {place: found[v.blob] for place, v in ends.items() if isinstance(found.get(v.blob), Tensor)}


def strays(
    graph: Graph, ends: Mapping[Place, Value], given: Mapping[Place, Tensor], returned: Mapping[Place, Tensor]
) -> Iterator[Comparison]:
    """A failed comparison for each output that a module does not return as its layer gave it."""
    for place, value in ends.items():
        layer, what, got = graph.nodes[place[0]].name, f"output {value.blob!r}", returned.get(place)
        if got is None:
            yield Comparison(layer, what, "chain", problem="the model does not return it")
        elif place in given and got is not given[place] and not _same(got, given[place]):
            yield Comparison(layer, what, "chain", problem="the model returns something else than its layer gives")


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same values, NaN in the same places."""
    return np.array_equal(one.detach().numpy(), other.detach().numpy(), equal_nan=True)

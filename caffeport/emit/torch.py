"""A graph as an nn.Module: the emitted source, compiled. What is read there is what runs here."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from caffeport.emit.names import name_graph
from caffeport.emit.source import emit, shares
from caffeport.graph import Graph

_numbers = count()


def compile_source(source: str, cls: str) -> type[nn.Module]:
    """The class `cls` out of emitted source, known to tracebacks and `inspect.getsource`."""
    file = f"<caffeport {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace: dict[str, Any] = {"__name__": f"caffeport.emitted.{cls}"}
    exec(compile(source, file, "exec"), namespace)
    made: type[nn.Module] = namespace[cls]
    return made


def module(graph: Graph, state: Mapping[str, Tensor] | None = None, standalone: bool = False) -> nn.Module:
    """The graph as a module, in the mode of its phase.

    Args:
        graph: what to compute.
        state: tensors by state_dict key, taken over without a copy; None leaves torch's own initial values.
        standalone: compile the very source that a user gets, its own classes included.
    """
    cls = compile_source(emit(graph, standalone), name_graph(graph).cls)
    if state is None:
        return cls().train(graph.net.phase == "TRAIN")
    with torch.device("meta"):
        made = cls()
    made.load_state_dict(dict(state), assign=True)
    if shares(graph):
        made.tie()  # type: ignore[operator]
    return made.train(graph.net.phase == "TRAIN")

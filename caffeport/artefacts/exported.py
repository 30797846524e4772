""".pt2: the module as torch.export sees it, the batch free where the net leaves it free."""

from __future__ import annotations

from pathlib import Path

import torch

from caffeport.artefacts.checkpoint import tensors
from caffeport.artefacts.provenance import as_metadata
from caffeport.artefacts.recipe import METADATA
from caffeport.emit.torch import module
from caffeport.graph import free_axes
from caffeport.port import Port


def write(port: Port, part: Path, target: Path) -> None:
    """Export and save the module."""
    notes = as_metadata(port)
    if port.recipe is not None:
        notes[METADATA] = port.recipe.to_json()
    torch.export.save(export(port), part, extra_files=notes)


def export(port: Port) -> torch.export.ExportedProgram:
    """The exported program: inputs as in the net, in their order, the first axis dynamic where it is free."""
    graph = port.graph
    free = free_axes(graph)
    # Two of everything: torch takes a side of 1 for a constant.
    inputs = tuple(torch.zeros(2 if free and shape else shape[0], *shape[1:]) for shape in _shapes(port))
    batch = torch.export.Dim("N")
    dynamic = tuple({0: batch} for _ in inputs) if free else None
    return torch.export.export(module(graph, tensors(port)), inputs, dynamic_shapes=dynamic, strict=False)


def _shapes(port: Port) -> list[tuple[int, ...]]:
    return [value.shape for value in port.graph.inputs]

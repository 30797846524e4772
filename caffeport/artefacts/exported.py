""".pt2: the module as torch.export sees it, the batch free where the net leaves it free."""

from __future__ import annotations

from pathlib import Path

import torch

from caffeport.artefacts.checkpoint import tensors
from caffeport.artefacts.provenance import as_metadata
from caffeport.artefacts.recipe import METADATA
from caffeport.batch import free_axes
from caffeport.emit.torch import module
from caffeport.port import Port


def write(port: Port, part: Path, target: Path) -> None:
    """Export and save the module."""
    notes = as_metadata(port)
    if port.recipe is not None:
        notes[METADATA] = port.recipe.to_json()
    torch.export.save(export(port), part, extra_files=notes)


def export(port: Port) -> torch.export.ExportedProgram:
    """The exported program: inputs as in the net, in their order, the batch dynamic where it is free."""
    # No shorter name: torch reads it with sympy, where "N" is a function.
    graph, batch = port.graph, torch.export.Dim("batch")
    free = free_axes(graph)
    if free is None:
        inputs = tuple(torch.zeros(value.shape) for value in graph.inputs)
        return torch.export.export(module(graph, tensors(port)), inputs, strict=False)
    sides = [[*zip(value.shape, free[value.name], strict=True)] for value in graph.inputs]
    # Two of everything: torch takes a side of 1 for a constant.
    inputs = tuple(torch.zeros([2 * times or side for side, times in each]) for each in sides)
    dynamic = tuple({axis: times * batch for axis, (_, times) in enumerate(each) if times} for each in sides)
    return torch.export.export(module(graph, tensors(port)), inputs, dynamic_shapes=dynamic, strict=False)

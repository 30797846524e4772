"""Converting: a Caffe net with its weights becomes files of other frameworks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path

from caffeport.artefacts import write, writer
from caffeport.artefacts.recipe import Recipe
from caffeport.layers import Shape
from caffeport.port import Port, open_port

AnyPath = str | PathLike[str]


def convert(
    weights: AnyPath,
    outputs: Iterable[AnyPath],
    net: AnyPath | None = None,
    shapes: Mapping[str, Shape] | None = None,
    recipe: Recipe | None = None,
) -> Port:
    """Convert a Caffe model.

    Args:
        weights: a .caffemodel or .caffemodel.h5 of any era.
        outputs: files to write, each in the format of its suffix: .pt, .safetensors, .py, .pt2, .onnx.
        net: the net's .prototxt; without one, the net inside the weights is taken, made a deploy net.
        shapes: other shapes for the net's inputs, by blob.
        recipe: how pictures become the net's input, to be stored with the model.

    Returns:
        What was written: the graph and its weights.

    Raises:
        CaffeportError: anything that cannot be read, ported or written; nothing is left half written.
    """
    targets = [Path(fspath(output)) for output in outputs]
    for target in targets:
        writer(target)
    port = replace(open_port(net, weights, shapes=shapes), recipe=recipe)
    for target in targets:
        write(port, target)
    return port

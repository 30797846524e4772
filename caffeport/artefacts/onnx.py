""".onnx: Caffe's names, a free batch; weights beside the file where it would pass 2 GB."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import onnx

from caffeport.artefacts.provenance import as_metadata
from caffeport.artefacts.recipe import METADATA, Recipe
from caffeport.emit.onnx import emit
from caffeport.emit.onnx_front import Front, attach
from caffeport.errors import Refused
from caffeport.port import Port
from caffeport.transform.apply import plan_cuts

#: Protobuf cannot hold more in one message; a little room is left for the nodes.
MOST_BYTES = 2**31 - 2**24


#: The metadata key that tells that a model takes pictures, with their layout as its value.
FRONT = "caffeport.picture"


def write(port: Port, part: Path, target: Path) -> None:
    """Check and write the model; past 2 GB the weights go into ``<name>.onnx.data``."""
    write_model(make(port), port, part, target)


def make(port: Port) -> onnx.ModelProto:
    """The model; with the preprocessing inside where the port wants pictures as its input."""
    model = emit(port.graph, port.arrays())
    if port.pictures is not None:
        layout, output = port.pictures
        if port.recipe is None:
            raise Refused(port.graph.name, "has no preprocessing to put inside", "", "give --profile or its settings")
        attach(model, front(port.recipe, layout, output, port.graph.inputs[0].shape))
    return model


def front(recipe: Recipe, layout: str, output: str, shape: tuple[int, ...]) -> Front:
    """What goes before a net that reads `shape`. Raises Refused where the picture's size is open."""
    prep = recipe.preprocessing.still()
    if prep.resize is not None:
        size = prep.resize.height, prep.resize.width
    elif prep.crop is None and len(shape) == 4:
        size = shape[2], shape[3]
    elif prep.mean is not None and prep.mean.shape[1:] != prep.input_size:
        size = prep.mean.shape[1], prep.mean.shape[2]
    else:
        raise Refused("preprocessing", "crops pictures of any size", "inside a model a resize comes first", "--resize")
    return Front(prep, plan_cuts(prep, *size), size, layout, recipe.output(output))


def write_model(model: onnx.ModelProto, port: Port, part: Path, target: Path, most: int = MOST_BYTES) -> None:
    """Write a model with the port's provenance as metadata."""
    notes = as_metadata(port)
    if port.recipe is not None:
        notes[METADATA] = port.recipe.to_json()
    if port.pictures is not None:
        notes[FRONT] = port.pictures[0]
    onnx.helper.set_model_props(model, notes)
    size = sum(4 * prod(param.shape) for node in port.graph.nodes for param in node.params)
    if size <= most:
        onnx.checker.check_model(model)
        onnx.save_model(model, part)
        return
    data = target.name + ".data"
    beside = part.with_name(part.name + ".data")
    onnx.external_data_helper.convert_model_to_external_data(model, location=beside.name, size_threshold=1024)
    try:
        onnx.save_model(model, part)
        onnx.checker.check_model(str(part))
        _rename_data(part, data)
        os.replace(beside, target.with_name(data))
    finally:
        beside.unlink(missing_ok=True)


def _rename_data(part: Path, data: str) -> None:
    """Let the model name the data file by its final name: it was written, and checked, under a temporary one."""
    model = onnx.load_model(part, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = data
    onnx.save_model(model, part)

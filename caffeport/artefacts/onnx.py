""".onnx: Caffe's names, a free batch; weights beside the file where it would pass 2 GB."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import onnx

from caffeport.artefacts.provenance import as_metadata
from caffeport.emit.onnx import emit
from caffeport.port import Port

#: Protobuf cannot hold more in one message; a little room is left for the nodes.
MOST_BYTES = 2**31 - 2**24


def write(port: Port, part: Path, target: Path) -> None:
    """Check and write the model; past 2 GB the weights go into ``<name>.onnx.data``."""
    write_model(emit(port.graph, port.arrays()), port, part, target)


def write_model(model: onnx.ModelProto, port: Port, part: Path, target: Path, most: int = MOST_BYTES) -> None:
    """Write a model with the port's provenance as metadata."""
    onnx.helper.set_model_props(model, as_metadata(port))
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

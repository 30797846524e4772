""".safetensors: an 8-byte length, a JSON header, the tensors one behind the other.

Written here and not by the safetensors package, which wants every tensor in memory: this way the bytes go from the
mapped weight file straight into the new one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any

from caffeport.artefacts.provenance import as_metadata
from caffeport.emit.names import name_graph
from caffeport.graph import Param
from caffeport.port import Port

#: The format's own rule: tensors begin at a multiple of this.
ALIGNMENT = 8


def write(port: Port, part: Path, target: Path) -> None:
    """Write the port's tensors as float32."""
    # Hashing the sources takes as long as writing: both at once. hashlib and write() let other threads run.
    with ThreadPoolExecutor(1) as pool:
        metadata = pool.submit(as_metadata, port)
        with open(part, "wb") as file:
            file.write(_header(port, as_metadata(port, hashed=False)))
            for pieces in _tensors(port):
                file.writelines(pieces)
            file.seek(0)
            file.write(_header(port, metadata.result()))


def _own(port: Port) -> Iterator[tuple[str, tuple[int, int], Param]]:
    names = name_graph(port.graph)
    for node in port.graph.computing:
        for k, param in enumerate(node.params):
            yield names.state[node.index, k], param.owner or (node.index, k), param


def _header(port: Port, metadata: dict[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    offset = 0
    for key, _, param in _own(port):
        end = offset + 4 * prod(param.shape)
        entries[key] = {"dtype": "F32", "shape": list(param.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _tensors(port: Port) -> Iterator[list[memoryview]]:
    for _, owner, _ in _own(port):
        blob = port.blobs[owner]
        pieces = blob.buffers()
        yield [blob.numpy().astype("<f4").data.cast("B")] if pieces is None else pieces

""".safetensors: an 8-byte length, a JSON header, the tensors one behind the other.

Written here and not by the safetensors package, which wants every tensor in memory: this way the bytes go from the
weight file straight into the new one, at the speed of copying. For the same reason no SHA-256 stands in the metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from caffeport.artefacts.provenance import as_metadata
from caffeport.caffe.blob import Blob
from caffeport.emit.names import name_graph
from caffeport.graph import Param
from caffeport.port import Port

#: The format's own rule: tensors begin at a multiple of this.
ALIGNMENT = 8


def write(port: Port, part: Path, target: Path) -> None:
    """Write the port's tensors as float32."""
    with ExitStack() as stack:

        @cache
        def opened(path: str) -> BinaryIO:
            return stack.enter_context(open(path, "rb", buffering=0))

        file = stack.enter_context(open(part, "wb", buffering=0))
        file.write(_header(port, as_metadata(port, hashed=False)))
        for _, owner, _ in _own(port):
            blob = port.blobs[owner]
            found = blob.ranges()
            if found is None:
                _write_array(blob, file)
                continue
            source = opened(found[0])
            for begin, size in found[1]:
                _copy(source, file, begin, size)


def _write_array(blob: Blob, file: BinaryIO) -> None:
    values = blob.numpy().astype("<f4").data.cast("B")
    while values:
        values = values[file.write(values) :]


def _copy(source: BinaryIO, file: BinaryIO, begin: int, size: int) -> None:
    """Copy a piece of one file to the end of another, inside the kernel where the system can."""
    if not hasattr(os, "sendfile"):
        source.seek(begin)
        while size:
            size -= file.write(source.read(min(size, 1 << 20)))
        return
    while size:
        sent = os.sendfile(file.fileno(), source.fileno(), begin, size)
        begin, size = begin + sent, size - sent


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
        entries[key] = {"dtype": "F32", "shape": list(port.graph.stored(param).shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text

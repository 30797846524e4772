""".safetensors: an 8-byte length, a JSON header, the tensors one behind the other.

Written here and not by the safetensors package, which wants every tensor in memory: this way the bytes go from the
weight file straight into the new one, at the speed of copying. For the same reason no SHA-256 stands in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

from caffeport.artefacts.provenance import as_metadata
from caffeport.emit.names import name_graph
from caffeport.errors import UnreadableFile
from caffeport.graph import Param
from caffeport.port import Port

#: The format's own rule: tensors begin at a multiple of this.
ALIGNMENT = 8
#: Bytes that are copied at a time.
BUFFER = 1 << 20


def write(port: Port, part: Path, target: Path) -> None:
    """Write the port's tensors as float32."""
    with ExitStack() as stack:

        @cache
        def opened(path: str) -> FileIO:
            return stack.enter_context(open(path, "rb", buffering=0))

        file = stack.enter_context(open(part, "wb", buffering=0))
        file.write(_header(port, as_metadata(port, hashed=False)))
        for _, owner, _ in _own(port):
            blob = port.blobs[owner]
            found = blob.ranges()
            if found is None:
                _write(blob.numpy().astype("<f4").data.cast("B"), file)
                continue
            source = opened(found[0])
            for begin, size in found[1]:
                _copy(source, file, begin, size)


def _write(values: memoryview, file: FileIO) -> None:
    while values:
        values = values[file.write(values) :]


def _copy(source: FileIO, file: FileIO, begin: int, size: int) -> None:
    """Copy a piece of one file to the end of another.

    Through a buffer: measured, that takes half the time of sendfile, which is slow where pages are not aligned.
    """
    buffer = memoryview(bytearray(min(size, BUFFER)))
    source.seek(begin)
    while size:
        got = source.readinto(buffer[: min(size, BUFFER)])
        if not got:
            raise UnreadableFile(str(source.name), "became shorter while it was read")
        _write(buffer[:got], file)
        size -= got


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

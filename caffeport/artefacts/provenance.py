"""Where a port came from: the sources by name, size and SHA-256, and what made it."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from caffeport.port import Port
from caffeport.version import __version__


@cache
def sha256(path: Path, _size: int, _changed: int) -> str:
    """SHA-256 of a file in hexadecimal; computed once for a file that has not changed."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(port: Port, hashed: bool = True) -> dict[str, Any]:
    """Plain data: caffeport's version, the sources, and the layers of the weight file that the net does not use.

    With `hashed` False there are no digests: hashing a file takes twice as long as copying it.
    """
    sources = []
    for path in port.sources:
        status = path.stat()
        digest = {"sha256": sha256(path, status.st_size, status.st_mtime_ns)} if hashed else {}
        sources.append({"file": path.name, "bytes": status.st_size, **digest})
    return {"caffeport": __version__, "phase": port.graph.net.phase, "sources": sources, "unused": list(port.unused)}


def notes(port: Port) -> dict[str, str]:
    """The same as short lines of text, for a docstring or metadata."""
    found = provenance(port)
    lines = {f"Source {s['file']}": f"SHA-256 {s['sha256']}, {s['bytes']} bytes" for s in found["sources"]}
    return {**lines, "Made by": f"caffeport {__version__}"}


def as_metadata(port: Port, hashed: bool = True) -> dict[str, str]:
    """Provenance as one JSON string, for formats whose metadata are strings."""
    return {"caffeport": json.dumps(provenance(port, hashed), sort_keys=True)}

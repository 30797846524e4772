""".py: readable source that imports torch only and loads the .safetensors or a plain state_dict."""

from __future__ import annotations

from pathlib import Path

from caffeport.artefacts.provenance import notes
from caffeport.emit.source import emit
from caffeport.port import Port


def write(port: Port, part: Path, target: Path) -> None:
    """Write the source; the weights go into another file (.safetensors or .pt)."""
    part.write_text(emit(port.graph, notes=notes(port)), encoding="utf-8")

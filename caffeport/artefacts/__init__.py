"""The files that a port becomes, one module per format, told apart by suffix; and the way back from a .pt."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from caffeport.errors import Refused
from caffeport.files import replacing
from caffeport.port import Port

#: suffix -> the module here that writes it.
FORMATS = {
    ".pt": "checkpoint",
    ".safetensors": "tensors",
    ".py": "source",
    ".pt2": "exported",
    ".onnx": "onnx",
}


def writer(path: Path) -> Callable[[Port, Path, Path], None]:
    """The function that writes a port to a file of this suffix: ``write(port, part, target)``.

    Raises:
        Refused: no format has the suffix.
    """
    if path.suffix not in FORMATS:
        raise Refused(str(path), f"no format has the suffix {path.suffix!r}", f"there are {', '.join(FORMATS)}")
    found: Callable[[Port, Path, Path], None] = import_module(f"{__name__}.{FORMATS[path.suffix]}").write
    return found


def write(port: Port, path: Path) -> None:
    """Write a port in the format of the path's suffix; the file appears when it is complete."""
    into = writer(path)
    with replacing(path) as part:
        into(port, part, path)

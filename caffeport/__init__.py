"""caffeport brings Caffe models back to life: .caffemodel to PyTorch and ONNX, proven layer by layer.

    import caffeport

    caffeport.convert("memnet.caffemodel", ["memnet.pt", "memnet.onnx"], net="deploy.prototxt")
    model = caffeport.load("memnet.pt")

The names below are imported when first used: `import caffeport` alone loads neither torch nor onnx.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from caffeport.errors import (
    BadCase,
    CaffeportError,
    Problems,
    Refused,
    UnknownLayer,
    Unportable,
    UnreadableFile,
    WeightsMismatch,
)
from caffeport.version import __version__

if TYPE_CHECKING:
    from caffeport.artefacts.checkpoint import load
    from caffeport.caffe.net import parse_net, read_net
    from caffeport.caffe.weights import open_weights
    from caffeport.conversion import convert
    from caffeport.graph import build
    from caffeport.inspection import inspect
    from caffeport.layers.registered import register_python_layer
    from caffeport.port import open_port
    from caffeport.predict import open_predictor
    from caffeport.upgrading import upgrade

#: public name -> the module that has it.
_HOMES = {
    "build": "caffeport.graph",
    "convert": "caffeport.conversion",
    "inspect": "caffeport.inspection",
    "load": "caffeport.artefacts.checkpoint",
    "open_port": "caffeport.port",
    "open_predictor": "caffeport.predict",
    "open_weights": "caffeport.caffe.weights",
    "parse_net": "caffeport.caffe.net",
    "read_net": "caffeport.caffe.net",
    "register_python_layer": "caffeport.layers.registered",
    "upgrade": "caffeport.upgrading",
}

__all__ = [
    "BadCase",
    "CaffeportError",
    "Problems",
    "Refused",
    "UnknownLayer",
    "Unportable",
    "UnreadableFile",
    "WeightsMismatch",
    "__version__",
    "build",
    "convert",
    "inspect",
    "load",
    "open_port",
    "open_predictor",
    "open_weights",
    "parse_net",
    "read_net",
    "register_python_layer",
    "upgrade",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'caffeport' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__

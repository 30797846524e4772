"""Caffe's layer types, one file each, named as Caffe names them.

A type's file is imported when the type is first asked for: a net has ten types or so, and there are a hundred.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site
from caffeport.layers.base import registry as _registry

#: A type's name in small letters -> its file: ``softmaxwithloss`` -> ``softmax_with_loss``.
_FILES = {module.name.replace("_", ""): module.name for module in pkgutil.iter_modules(__path__)}


def layer_class(name: str) -> type[Layer] | None:
    """The class of a layer type, None where the type is not known."""
    if name not in _registry() and name.lower() in _FILES:
        importlib.import_module(f"{__name__}.{_FILES[name.lower()]}")
    # Another name of a type, or no type at all: only a look into every file tells.
    return _registry().get(name) or registry().get(name)


def registry() -> Mapping[str, type[Layer]]:
    """All layer types known, by name (other names of a type too)."""
    for file in _FILES.values():
        importlib.import_module(f"{__name__}.{file}")
    return _registry()


__all__ = ["Call", "Inferred", "Layer", "Misfit", "Onnx", "Shape", "Shapes", "Site", "layer_class", "registry"]

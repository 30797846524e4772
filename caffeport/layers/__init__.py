"""Caffe's layer types, one file each, named as Caffe names them. Importing the package registers them all."""

from __future__ import annotations

import importlib
import pkgutil

from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shape, Shapes, Site, registry

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Call", "Inferred", "Layer", "Misfit", "Onnx", "Shape", "Shapes", "Site", "registry"]

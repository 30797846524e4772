"""The modules that torch lacks. Each file imports torch only and stands alone, so that emitted source may carry it."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

#: file name -> module, for the emitter to look up which file holds a class.
FILES: dict[str, ModuleType] = {
    info.name: importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)
}

for _file in FILES.values():
    globals().update({name: vars(_file)[name] for name in _file.__all__})

__all__ = [name for file in FILES.values() for name in file.__all__]

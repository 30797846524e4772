"""Packages of the extras, imported where they are needed, with a sentence where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from caffeport.errors import Refused

_EXTRAS: Final = {
    "pyarrow": ("pyarrow", "data", "reads and writes Parquet"),
    "scipy": ("scipy", "report", "computes rank correlations"),
    "matplotlib": ("matplotlib", "report", "draws the plots"),
    "jinja2": ("jinja2", "report", "writes the page"),
}


def need(module: str) -> ModuleType:
    """Import a module of an extra. Raises Refused with the package to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, extra, use = _EXTRAS[module.split(".")[0]]
        what = f"the package '{package}' is needed here ({error})"
        raise Refused("caffeport", what, f"it {use}", f"pip install 'caffeport[{extra}]'") from None

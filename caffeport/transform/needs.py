"""Packages of the extras, imported when they are first needed, with a sentence where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from caffeport.errors import Refused

_PACKAGES: Final = {
    "cv2": ("opencv-python-headless", "data", "decodes and resizes pictures as Caffe does, to the bit"),
    "lmdb": ("lmdb", "data", "reads Caffe's LMDB databases"),
    "h5py": ("h5py", "data", "reads HDF5 files"),
    "scipy.io": ("scipy", "data", "reads MATLAB's .mat files"),
    "PIL.Image": ("pillow", "data", "resizes as the published ResMem transform does"),
    "pyarrow": ("pyarrow", "data", "reads and writes Parquet"),
    "pyarrow.parquet": ("pyarrow", "data", "reads and writes Parquet"),
    "scipy.stats": ("scipy", "report", "computes rank correlations"),
    "matplotlib": ("matplotlib", "report", "draws the plots"),
    "matplotlib.figure": ("matplotlib", "report", "draws the plots"),
    "jinja2": ("jinja2", "report", "writes the page"),
}


class MissingPackage(Refused):
    """A package of an extra is not installed: no fault of the picture or file at hand, so that no run goes on."""

    def __reduce__(self) -> tuple[type[MissingPackage], tuple[str, str, str, str]]:
        return MissingPackage, (self.where, self.what, self.allowed, self.todo)  # it crosses from worker processes


def need(module: str, where: str = "caffeport") -> ModuleType:
    """Import a module of an extra. Raises MissingPackage with the package to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, extra, use = _PACKAGES[module]
        what = f"the package '{package}' is needed here ({error})"
        raise MissingPackage(where, what, f"it {use}", f"pip install 'caffeport[{extra}]'") from None

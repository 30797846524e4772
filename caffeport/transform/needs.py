"""Packages of the `data` extra, imported when they are first needed, with a sentence where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from caffeport.errors import Refused

_PACKAGES: Final = {
    "cv2": ("opencv-python-headless", "decodes and resizes pictures as Caffe does, to the bit"),
    "lmdb": ("lmdb", "reads Caffe's LMDB databases"),
    "h5py": ("h5py", "reads HDF5 files"),
    "scipy.io": ("scipy", "reads MATLAB's .mat files"),
    "PIL.Image": ("pillow", "resizes as the published ResMem transform does"),
}


def need(module: str, where: str) -> ModuleType:
    """Import a module of the `data` extra. Raises Refused with the package to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, use = _PACKAGES[module]
        raise Refused(
            where, f"the package '{package}' is needed here ({error})", f"it {use}", "pip install 'caffeport[data]'"
        ) from None

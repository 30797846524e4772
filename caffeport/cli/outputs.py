"""Outputs of the verbs: refused before the work is done where that can be known, named where writing fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffeport.errors import Refused


def check_file(target: Path, size: int = 0) -> None:
    """Raise Refused where a file, of at least `size` bytes, could not be written: known before hours of work."""
    if target.is_dir():
        raise Refused(str(target), "is a folder", "a file is written")
    folder = target.parent
    if not folder.is_dir():
        raise Refused(str(target), f"cannot be written: there is no folder {str(folder)!r}", todo="make it first")
    _check_access(target, folder)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise Refused(str(target), f"takes {size:,} bytes and {free:,} are free", todo="make room, or write elsewhere")


def check_folder(target: Path) -> None:
    """Raise Refused where a folder could not be made, or not be written into."""
    place = target
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise Refused(str(target), f"cannot be made: {str(place)!r} is a file", "a folder is written")
    _check_access(target, place)


def _check_access(target: Path, folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Refused(str(target), f"cannot be written: the folder {str(folder)!r} is not yours to write into")


@contextmanager
def writing(target: str | os.PathLike[str], todo: str = "") -> Iterator[None]:
    """Name the target where the system refuses to write (a full disk says no name). Raises Refused."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        raise Refused(os.fspath(target), f"cannot be written ({error.strerror or error})", todo=todo) from None

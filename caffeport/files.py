"""Outputs that are whole or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from caffeport.errors import Refused


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, that takes its place when the block ends without an error.

    Raises Refused if the folder cannot be written to, or if `path` is a folder or a device.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise Refused(str(target), "is not a plain file, so it cannot be replaced")
    part = target.with_name(f".caffeport-{secrets.token_hex(8)}{target.suffix}")
    try:
        # Made here and not by the writer: it fails early, and with the permissions that a new file gets.
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise Refused(str(target), f"cannot be written ({error.strerror})") from None
    try:
        yield part
        os.replace(part, target)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()

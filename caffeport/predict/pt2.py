"""A look into a .pt2 before torch opens it: such an archive may hold pickles and compiled code, ours hold neither."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any, Final

from caffeport.errors import UnreadableFile

MAX_CONFIG: Final = 1 << 26

_CONFIG = re.compile(r"data/(weights|constants)/[^/]+_config\.json")
_PLAIN = re.compile(
    r"data/(weights/weight_\d+|constants/tensor_\d+|sample_inputs/[^/]+\.pt)|models/[^/]+\.json|extra/[^/]+"
    r"|archive_(format|version)|byteorder|version|\.data/(version|serialization_id|alignment)|\.format_version"
)


def check_archive(path: Path) -> None:
    """Raise UnreadableFile for anything in a .pt2 but tensors, JSON and notes."""
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names):
                raise UnreadableFile(where, "holds an entry twice")
            for info in archive.infolist():
                name = info.filename.partition("/")[2]
                if _CONFIG.fullmatch(name):
                    _check_config(archive, info, where)
                elif not _PLAIN.fullmatch(name):
                    raise UnreadableFile(where, f"holds {info.filename[:80]!r}", "tensors, JSON and notes only")
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(where, f"is no .pt2 archive ({error})") from None


def _check_config(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> None:
    if info.file_size > MAX_CONFIG:
        raise UnreadableFile(where, f"{info.filename} unpacks to {info.file_size} bytes")
    try:
        plain: Any = json.loads(archive.read(info))
        entries = plain["config"].values()
        pickled = any(entry["use_pickle"] is not False for entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableFile(where, f"{info.filename} is no table of tensors") from None
    if pickled:
        raise UnreadableFile(where, f"{info.filename} names pickled objects", "plain tensors only", "convert it again")

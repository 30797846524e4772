"""A case's meta.json, read without trust: sizes, types and the format are checked before anything is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caffeport.errors import BadCase

#: The newest format of a case that is read; one without a number is of format 1.
FORMAT = 1
#: The largest meta.json that is read.
META_BYTES = 16 << 20
#: The largest seed of numpy's RandomState, less the one that the inputs are drawn from.
MOST_SEED = 2**32 - 2
#: Keys that may be left out, with the type that they have otherwise.
OPTIONAL: Mapping[str, type] = {"name": str, "oracle": str, "phase": str, "backward": bool, "inputs": dict}


def read_meta(path: Path) -> Mapping[str, Any]:
    """A case's meta.json, checked.

    Raises:
        BadCase: it is missing, no JSON, without a list of layers, of a newer format, or has values of a wrong type.
    """
    meta = _load(path)
    if not isinstance(meta, dict) or not isinstance(meta.get("layers"), list):
        raise BadCase(str(path), "has no list of layers", "meta.json lists the layers that Caffe ran")
    version = meta.get("format", 1)
    if not isinstance(version, int) or version > FORMAT or version < 1:
        raise BadCase(str(path), f"is of format {version!r}", f"this version reads up to {FORMAT}", "update caffeport")
    for key, kind in OPTIONAL.items():
        if key in meta and not isinstance(meta[key], kind):
            raise BadCase(str(path), f"{key} is {_said(meta[key])}", f"it is of type {kind.__name__}")
    if meta.get("phase", "TEST") not in ("TEST", "TRAIN"):
        raise BadCase(str(path), f"phase is {_said(meta['phase'])}", "TEST or TRAIN")
    for blob, shape in meta.get("inputs", {}).items():
        if not (isinstance(shape, list) and all(_whole(side) and side >= 0 for side in shape)):
            raise BadCase(str(path), f"the shape of input {blob!r} is {_said(shape)}", "a list of sides is needed")
    for layer in meta["layers"]:
        if not _is_layer(layer):
            raise BadCase(str(path), f"lists a layer as {_said(layer)}", "each has a name and an index")
    if "seed" in meta and not (_whole(meta["seed"]) and 0 <= meta["seed"] <= MOST_SEED):
        raise BadCase(str(path), f"seed is {_said(meta['seed'])}", f"a number from 0 to {MOST_SEED} is possible")
    return meta


def _load(path: Path) -> Any:
    try:
        if path.stat().st_size > META_BYTES:
            raise BadCase(str(path), f"has {path.stat().st_size} bytes", f"at most {META_BYTES} are read")
        meta = json.loads(path.read_text(encoding="utf-8"))
        # Half a surrogate pair is JSON, and no text that a report could be written with.
        json.dumps(meta, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise BadCase(str(path), f"cannot be read ({error})", "meta.json describes a case") from None
    return meta


def _is_layer(layer: Any) -> bool:
    """Whether this describes a layer: its name and index, and what else there is of the right type."""
    if not isinstance(layer, dict) or not isinstance(layer.get("name"), str) or not _whole(layer.get("index")):
        return False
    tops = layer.get("tops", [])
    return (
        isinstance(layer.get("inserted", False), bool)
        and isinstance(layer.get("type", ""), str)
        and isinstance(tops, list)
        and all(isinstance(top, str) for top in tops)
    )


def _whole(value: Any) -> bool:
    """Whether a JSON value is a whole number; Python's True would pass for one."""
    return isinstance(value, int) and not isinstance(value, bool)


def _said(value: Any) -> str:
    """A value for a message, cut where it is long."""
    return repr(value)[:80]

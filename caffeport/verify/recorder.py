"""Golden cases of a user's own: the script that records them where Caffe still runs, and the check of what it wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from caffeport.artefacts.provenance import sha256
from caffeport.errors import BadCase, Refused
from caffeport.files import replacing
from caffeport.port import open_port
from caffeport.verify.case import FORMAT, open_case


def write_script(
    net: Path,
    weights: Path | None,
    out: Path,
    *,
    phase: str = "TEST",
    backward: bool = False,
    case: str = "golden-case",
) -> None:
    """Write a recorder for a net and its weights: one file for Python 2.7 and 3 that needs numpy and pycaffe only.

    Args:
        net, weights: checked here, so that a recording is not made of files that cannot be ported anyway.
        out: the script.
        phase, backward, case: what the script records unless its own options say otherwise; the folder it writes.

    Raises:
        CaffeportError: net and weights cannot be read or ported, or do not belong together.
    """
    if phase not in ("TEST", "TRAIN"):
        raise Refused("phase", f"is {phase!r}", "TEST or TRAIN")
    open_port(net, weights, phase=phase)
    expected = {
        "net": _expected(net),
        "weights": _expected(weights) if weights else None,
        "phase": phase,
        "backward": backward,
        "out": case,
    }
    # JSON in ASCII inside a raw string: quotes are escaped, so that a file's name stays data.
    literal = json.dumps(expected, sort_keys=True, indent=1).replace("'", "\\u0027")
    template = (files("caffeport.verify") / "assets" / "record.py.in").read_text(encoding="utf-8")
    with replacing(out) as part:
        part.write_text(Template(template).substitute(expected=literal), encoding="utf-8")


def _expected(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"name": path.name, "sha256": sha256(path, status.st_size, status.st_mtime_ns)}


@dataclass(frozen=True, slots=True)
class Checked:
    """What a case holds: counts of layers, tops, gradients and changed parameters, its format, and remarks."""

    name: str
    format: int
    oracle: str
    phase: str
    layers: int
    tops: int
    gradients: int
    changed: int
    remarks: tuple[str, ...] = ()


def check_case(folder: Path) -> Checked:
    """Validate a case: every file, every array read, everything against the net.

    Raises:
        BadCase: anything missing, broken, of a newer format or of another net.
        CaffeportError: the net cannot be read or ported.
    """
    case = open_case(folder)
    remarks = []
    for name, array in case.arrays.items():
        if name.startswith("in/") and not np.isfinite(array).all():
            remarks.append(f"{name} holds values that are not finite")
        elif name.startswith("top/") and np.isnan(array).any():
            remarks.append(f"{name} holds NaN, which passes only where the port has it too")
    unfed = [value.blob for value in case.graph.inputs if value.blob not in case.inputs]
    if unfed:
        raise BadCase(str(folder), f"has no values for input {unfed[0]!r}", "every input is recorded as in/<blob>")
    _check_source(folder, case.meta.get("recorded_from"), remarks)
    kinds = [name.partition("/")[0] for name in case.arrays]
    return Checked(
        case.name,
        int(case.meta.get("format", FORMAT)),
        str(case.meta.get("oracle", "not stated")),
        case.graph.net.phase,
        len(case.graph.nodes),
        len({name.split("/")[1] + "/" + name.split("/")[2] for name in case.arrays if name.startswith("top/")}),
        kinds.count("dbottom") + kinds.count("dparam"),
        kinds.count("after"),
        tuple(remarks),
    )


def _check_source(folder: Path, source: Any, remarks: list[str]) -> None:
    """Compare the files of a case with what its script was written for."""
    for what, name in (("net", "net.prototxt"), ("weights", "net.caffemodel"), ("weights", "net.caffemodel.h5")):
        path = folder / name
        expected = source.get(what) if isinstance(source, dict) else None
        if isinstance(expected, dict) and path.is_file() and _expected(path)["sha256"] != expected.get("sha256"):
            remarks.append(f"{name} is another file than the recorder was written for")


__all__ = ["Checked", "check_case", "write_script"]

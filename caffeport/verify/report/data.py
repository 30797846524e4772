"""A report as plain data: what was compared with what, by which machine, every number. `schema.json` describes it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from caffeport.artefacts.provenance import sha256
from caffeport.graph import Graph, Node
from caffeport.verify.case import Case
from caffeport.verify.compare import FORWARD, GRADIENT, NOISE_FACTOR, NOISE_MOST
from caffeport.verify.run import Result
from caffeport.version import __version__

#: The schema's version: raised when a reader of the older one would misunderstand.
VERSION = 1
PACKAGES = ("torch", "onnx", "onnxruntime", "numpy", "opencv-python-headless")

Report = dict[str, Any]


def make_report(cases: Sequence[Report], refused: Sequence[str] = (), kind: str = "golden") -> Report:
    """All of a verification: the cases as `describe_case` or `describe_evidence` gives them.

    `kind` is ``golden`` where the other side is real Caffe, ``evidence`` where it is witnesses.
    """
    passed = bool(cases) and not refused and all(case["passed"] for case in cases)
    return {
        "schema": "caffeport-parity-report",
        "version": VERSION,
        "kind": kind,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": passed,
        "verdict": _verdict(cases, refused, kind),
        "tolerance": {
            "forward": FORWARD,
            "gradient": GRADIENT,
            "noise_factor": NOISE_FACTOR,
            "noise_most": NOISE_MOST,
        },
        "machine": machine(),
        "versions": versions(),
        "refused": list(refused),
        "cases": list(cases),
    }


def describe_case(
    case: Case, results: Sequence[Result], seconds: float | None = None, shipped: Mapping[str, Path] | None = None
) -> Report:
    """One golden case with its results; `shipped` are artefacts that were verified, by what they are."""
    files = [describe_file(role, path) for role, path in ({**case.files, **(shipped or {})}).items()]
    return {
        "name": case.name,
        "oracle": str(case.meta.get("oracle", "not stated")),
        "phase": case.graph.net.phase,
        "passed": agree(results),
        "verdict": case_verdict(results, "Caffe"),
        "seconds": seconds,
        "drawn_from_seed": case.meta.get("seed"),
        "files": files,
        "net": describe_net(case.graph),
        "layers": [describe_layer(node) for node in case.graph.nodes],
        "results": [describe_result(result) for result in results],
    }


def describe_net(graph: Graph) -> Report:
    """What the net is: its name, its size, and what goes in and out."""
    return {
        "name": graph.name,
        "parameters": graph.parameters,
        "layers": len(graph.nodes),
        "inputs": {value.blob: list(value.shape) for value in graph.inputs},
        "outputs": {value.blob: list(value.shape) for value in graph.outputs},
    }


def describe_layer(node: Node) -> Report:
    """A layer in its place: the values that it reads and makes tie it to the others."""
    return {
        "index": node.index,
        "name": node.name,
        "type": node.type,
        "line": node.definition.where.line,
        "source": node.layer.source,
        "bottoms": [value.name for value in node.bottoms],
        "tops": [value.name for value in node.tops],
        "blobs": [value.blob for value in node.tops],
        "shapes": [list(value.shape) for value in node.tops],
        "params": [list(param.shape) for param in node.params],
    }


def describe_result(result: Result) -> Report:
    """What one back end did."""
    return {
        "backend": result.backend,
        "passed": result.agrees,
        "skipped": result.skipped,
        "culprit": result.culprit,
        "cause": result.cause,
        "notes": list(result.notes),
        "comparisons": [one.as_json() for one in result.comparisons],
    }


def describe_file(role: str, path: Path) -> Report:
    """A file by its role, name, size and SHA-256."""
    status = path.stat()
    digest = sha256(path, status.st_size, status.st_mtime_ns)
    return {"role": role, "name": path.name, "bytes": status.st_size, "sha256": digest}


def agree(results: Sequence[Result]) -> bool:
    """Whether something was compared, and nothing that was compared differs: silence is no agreement."""
    return any(result.agrees for result in results) and all(result.passed for result in results)


def case_verdict(results: Sequence[Result], oracle: str) -> str:
    """One sentence on one case."""
    wrong = [result for result in results if not result.passed]
    if wrong:
        first = wrong[0]
        where = f": layer {first.culprit!r} is the first that is wrong" if first.culprit else ""
        cause = f"; {first.cause}" if first.cause else ""
        return f"does not agree with {oracle} as {_and(result.backend for result in wrong)}{where}{cause}"
    ran = [result.backend for result in results if result.agrees]
    if not ran:
        return "was not compared with anything"
    skipped = [result.backend for result in results if not result.agrees]
    rest = f"; not run as {_and(skipped)}" if skipped else ""
    return f"agrees with {oracle} as {_and(ran)}{rest}"


def _and(names: Iterable[str]) -> str:
    given = list(names)
    return " and ".join([", ".join(given[:-1]), given[-1]]) if len(given) > 1 else "".join(given)


def _verdict(cases: Sequence[Report], refused: Sequence[str], kind: str) -> str:
    wrong = sum(not case["passed"] for case in cases)
    if len(cases) == 1 and not refused:
        return f"{cases[0]['name']} {cases[0]['verdict']}"
    other = "Caffe" if kind == "golden" else "its witnesses"
    said = f"{len(cases) - wrong} of {len(cases)} cases agree with {other}"
    return said + (f"; {len(refused)} refused" if refused else "")


def machine() -> dict[str, Any]:
    """What the comparison ran on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"system": platform.platform(), "processor": _processor(), "cores": cores}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux: the platform's own word is all there is
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of what took part."""
    found = {"caffeport": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

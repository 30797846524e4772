"""The smallest failing piece of a case, as a case of its own: one layer, its weights, what Caffe fed it and got."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffeport.errors import BadCase, Refused
from caffeport.graph import Node
from caffeport.verify import BACKENDS
from caffeport.verify.case import FORMAT, Case, open_case
from caffeport.verify.run import Result, Run, verify
from caffeport.verify.single import input_name, write_single
from caffeport.verify.suspect import stored_blobs

#: Layers that treat every item of a batch by itself: one item is enough to show what is wrong.
ITEM_BY_ITEM = frozenset(
    {"Convolution", "Deconvolution", "Pooling", "LRN", "ReLU", "PReLU", "ELU", "Eltwise", "Sigmoid", "TanH", "Power"}
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Where the piece was written, which layer it is, and whether it still fails by itself (on `backend`)."""

    folder: Path
    layer: str
    backend: str
    fails: bool


def bisect(case: Case, results: list[Result], out: Path) -> Piece:
    """Cut the culprit out of a case that failed.

    Args:
        case, results: as verified.
        out: the folder to write; it must not exist.

    Raises:
        Refused: nothing failed, no single layer is to blame, or `out` exists.
    """
    wrong = next((result for result in results if result.culprit), None)
    if wrong is None:
        raise Refused(str(case.folder), "does not fail in any layer", "there is nothing to cut out")
    node = next((node for node in case.graph.computing if node.name == wrong.culprit), None)
    if node is None:
        raise Refused(str(case.folder), f"fails in {wrong.culprit!r}, which is no single layer", "send the whole case")
    out = out.absolute()
    if out.name in ("", "..") or out.exists():
        raise Refused(str(out), "exists already")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        part = Path(scratch) / out.name
        part.mkdir()
        _write(case, node, wrong, part)
        fails = _fails(part, wrong.backend)
        shutil.move(part, out)
    return Piece(out, node.name, wrong.backend, fails)


def _fails(folder: Path, backend: str) -> bool:
    on = backend if backend in BACKENDS else "module"
    try:
        return any(not result.passed for result in verify(open_case(folder), (on,)))
    except BadCase:
        return False


def _write(case: Case, node: Node, wrong: Result, folder: Path) -> None:
    run = Run(case)
    blobs = stored_blobs(run, node)
    tops, bottoms = _tops(case, node, wrong, run.bottoms(node))
    write_single(node, bottoms, blobs, folder)
    inputs = dict(zip(node.definition.bottoms, bottoms, strict=True))
    place = len(inputs)
    arrays = {f"in/{blob}": array for blob, array in inputs.items()}
    arrays |= {f"top/{k}/0": array for k, array in enumerate(inputs.values())}
    arrays |= {f"top/{place}/{rest}": array for rest, array in tops.items()}
    np.savez_compressed(folder / "golden.npz", **arrays)  # type: ignore[arg-type]
    (folder / "meta.json").write_text(json.dumps(_meta(case, node, inputs), indent=1) + "\n")


def _tops(
    case: Case, node: Node, wrong: Result, bottoms: list[np.ndarray]
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """What Caffe had on top, by the rest of its name in a recording; and the bottoms. One item where that will do."""
    stem = f"top/{case.places[node.index]}/"
    tops = {name[len(stem) :]: case.arrays[name] for name in case.arrays if name.startswith(stem)}
    batch = {array.shape[:1] for array in (*tops.values(), *bottoms)}
    if case.sampled or node.type not in ITEM_BY_ITEM or len(batch) != 1 or batch == {()}:
        return tops, bottoms
    worst = next((one for one in wrong.comparisons if one.layer == node.name and not one.passed and one.index), None)
    item = worst.index[0] if worst else 0
    return {rest: top[item : item + 1] for rest, top in tops.items()}, [one[item : item + 1] for one in bottoms]


def _meta(case: Case, node: Node, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    layers = [
        {"index": k, "name": input_name(node, blob), "type": "Input", "tops": [blob], "inserted": False, "params": []}
        for k, blob in enumerate(inputs)
    ]
    definition, params = node.definition, [list(param.shape) for param in node.params]
    tied: dict[str, Any] = {"bottoms": list(definition.bottoms), "tops": list(definition.tops)}
    layers.append(
        {"index": len(inputs), "name": node.name, "type": node.type, "inserted": False, "params": params, **tied}
    )
    return {
        "format": FORMAT,
        "name": f"{case.name}/{node.name}",
        "oracle": case.meta.get("oracle", "not stated"),
        "phase": case.graph.net.phase,
        "backward": False,
        "inputs": {blob: list(array.shape) for blob, array in inputs.items()},
        "outputs": list(definition.tops),
        "layers": layers,
        "cut_from": {"case": case.name, "layer": node.name},
    }

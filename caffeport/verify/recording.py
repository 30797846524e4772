"""What golden.npz must hold for its net, checked by names and shapes before any array is read."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from caffeport.errors import BadCase
from caffeport.layers import Shape
from caffeport.layers.shapes import show
from caffeport.verify.npz import Npz

if TYPE_CHECKING:
    from caffeport.verify.case import Case

#: How many values a sample has.
SAMPLE = 256
#: An array of another shape than the port's is compared, and fails; one of so many times its size is not even read.
MOST_TIMES = 16
#: The most numbers, weights and inputs together, that are drawn from a seed.
MOST_DRAWN = 1 << 29


def check_recording(case: Case, arrays: Npz) -> None:
    """Refuse a recording whose layers or arrays are not those of the net.

    Raises:
        BadCase: with the first layer or array that is missing, too much, or of a shape that cannot be.
    """
    where = str(arrays.path)
    _check_layers(case)
    for node in case.graph.nodes:
        for k, value in enumerate(node.tops):
            name = f"top/{case.places[node.index]}/{k}"
            if name not in arrays and not (f"{name}/sample" in arrays and f"{name}/stats" in arrays):
                missing = f"has no {name}, the top {value.blob!r} of layer {node.name!r}"
                raise BadCase(where, missing, "every top is recorded")
    known = _known(case)
    for name, entry in arrays.entries.items():
        if name not in known:
            raise BadCase(where, f"has {name}, which the net does not have", "the recording is of another net")
        if not _fits(name, entry.shape, known[name]):
            what = f"input {name[3:]!r}" if name.startswith("in/") else name
            raise BadCase(where, f"{what} is {show(entry.shape)}, the net wants {show(known[name])}")
    _check_inputs(case, arrays)
    _check_gradients(case, arrays)


def _check_layers(case: Case) -> None:
    """Refuse layers of other types or with other tops than the net's; `places` has compared their names."""
    recorded = {layer["index"]: layer for layer in case.meta["layers"]}
    if len(recorded) < len(case.meta["layers"]):
        raise BadCase(str(case.folder), "lists two layers of one index")
    for node in case.graph.nodes:
        layer = recorded[case.places[node.index]]
        for what, own in (("type", node.type), ("tops", [value.blob for value in node.tops])):
            if layer.get(what, own) != own:
                said = f"layer {node.name!r} has {what} {own} where Caffe recorded {layer[what]}"
                raise BadCase(str(case.folder), said, "the recording is of another net")


def _known(case: Case) -> dict[str, Shape]:
    """Every array that a recording of this net may hold, with the shape that the net gives it."""
    known: dict[str, Shape] = {}
    for node in case.graph.nodes:
        place = case.places[node.index]
        for k, value in enumerate(node.tops):
            stem = f"top/{place}/{k}"
            known |= {stem: value.shape, f"{stem}/sample": (SAMPLE,), f"{stem}/stats": (4,)}
            known |= {f"{kind}/{value.blob}": value.shape for kind in ("in", "out", "seed", "dbottom")}
        for k, param in enumerate(node.params):
            known |= {f"{kind}/{place}/{k}": param.shape for kind in ("after", "dparam")}
    return known


def _fits(name: str, found: Shape, wanted: Shape) -> bool:
    """Whether an array can be held against what the net has there, or be fed to it."""
    if name.startswith("in/") or name.endswith(("/sample", "/stats")):
        return found == wanted
    # Another shape may be the port's mistake, and is compared; but not a bomb.
    return prod(found) <= MOST_TIMES * max(prod(wanted), SAMPLE)


def _check_inputs(case: Case, arrays: Npz) -> None:
    """Refuse a case that does not say what its net was fed, or whose seed draws more than is sensible."""
    where = str(case.folder)
    drawn = case.meta.get("inputs", {}) if case.drawn and not case.has_inputs else {}
    own = {value.blob: list(value.shape) for value in case.graph.inputs}
    if drawn and drawn != own:
        raise BadCase(where, f"has the inputs {str(drawn)[:80]}, the net has {str(own)[:80]}")
    many = case.graph.parameters + sum(prod(value.shape) for value in case.graph.inputs)
    if case.drawn and many > MOST_DRAWN:
        raise BadCase(where, f"draws {many} numbers from its seed", f"at most {MOST_DRAWN} are drawn")
    for node in case.graph.nodes:
        for k, value in enumerate(node.tops if node.layer.source else ()):
            top = arrays.entries.get(f"top/{case.places[node.index]}/{k}")
            if value.blob in drawn or f"in/{value.blob}" in arrays:
                continue
            if top is None:
                raise BadCase(where, f"has no values for input {value.blob!r}", "every input is recorded as in/<blob>")
            if top.shape != value.shape:
                raise BadCase(where, f"input {value.blob!r} is {show(top.shape)}, the net wants {show(value.shape)}")


def _check_gradients(case: Case, arrays: Npz) -> None:
    """Refuse a case that says gradients were recorded, and lacks one."""
    if not case.meta.get("backward"):
        return
    for node in case.graph.nodes:
        for k in range(len(node.params)):
            name = f"dparam/{case.places[node.index]}/{k}"
            if name not in arrays:
                what = f"has no {name}, the gradient of blob {k} of layer {node.name!r}"
                raise BadCase(str(arrays.path), what, "meta.json says that gradients were recorded: then all are")

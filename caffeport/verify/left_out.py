"""What a result does not say: a sentence for everything that was not compared, or whose agreement says little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from caffeport.graph import Node
from caffeport.verify.case import Case
from caffeport.verify.compare import Comparison
from caffeport.verify.recording import SAMPLE

#: So many names stand in a sentence; of the rest, only their number.
NAMED = 5


def left_out(case: Case, found: Sequence[Comparison], what: str) -> Iterator[str]:
    """Sentences on what `found` leaves out of a case; `what` is the back end, as messages call it."""
    nodes = [node for node in case.graph.computing if node.tops]
    if lost := uncompared(nodes, found):
        yield f"{len(lost)} of {len(nodes)} layers of Caffe's have no blob of their own in {what}: {_some(lost)}"
    alone = {one.layer for one in found if one.mode == "alone"}
    apart = [node.name for node in nodes if node.name not in alone]
    if case.sampled:
        yield f"of some tops only {SAMPLE} values and four statistics were recorded: the rest was not compared"
    if apart:
        which = "no layer was" if len(apart) == len(nodes) else f"{len(apart)} of {len(nodes)} layers were not"
        yield f"{which} compared alone, fed what Caffe had in its bottoms"
    if case.has_gradients and not any(one.gradient for one in found):
        why = "" if case.backward else ": Caffe ran no backward pass, or meta.json does not say that it did"
        yield f"gradients were not compared{why}"
    yield from _empty(found)


def uncompared(nodes: Sequence[Node], found: Sequence[Comparison]) -> list[str]:
    """The layers none of whose tops were compared in chain."""
    compared = {one.layer for one in found if one.mode == "chain" and not one.gradient}
    return [node.name for node in nodes if node.name not in compared]


def _empty(found: Sequence[Comparison]) -> Iterator[str]:
    """Agreement that says little: arrays of zeros, numbers that are none, gradients that are rounding."""
    chained = [one for one in found if one.mode == "chain" and one.count]
    if zeros := [one for one in chained if not one.scale and not one.gradient]:
        yield f"{len(zeros)} of {len(chained)} arrays hold nothing but zeros in Caffe: {_some(_names(zeros))}"
    if odd := [one for one in chained if one.odd]:
        yield f"{sum(one.odd for one in odd)} values are NaN or infinite on both sides: {_some(_names(odd))}"
    if rounding := [one for one in chained if one.gradient and one.scale and one.allowed > one.scale]:
        gradients = sum(one.gradient for one in chained)
        said = "no more than rounding, as large as the port's own, so that zeros would pass as well"
        yield f"{len(rounding)} of {gradients} gradients are {said}: {_some(_names(rounding))}"


def _names(found: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(one.layer for one in found))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more

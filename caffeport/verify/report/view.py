"""What a page shows of a report: rows, plots and drawings, computed from the plain data alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from typing import Any

from caffeport.verify.compare import DECADES
from caffeport.verify.report.layout import Drawing, draw

#: Where a difference of zero stands on a logarithmic axis.
FLOOR = 1e-10
#: The states of a layer, best first, with what they mean.
STATES = {
    "none": "not compared here",
    "equal": "equal to the last bit",
    "ok": "within a tenth of what is allowed",
    "near": "within what is allowed",
    "wrong": "beyond what is allowed",
}


def number(value: Any) -> float:
    """A number of the report: those that JSON lacks stand there as text."""
    return float(value) if value is not None else 0.0


def oracle(report: Mapping[str, Any]) -> str:
    """How sentences call the other side."""
    return "Caffe" if report["kind"] == "golden" else "the witness"


def state_of_case(case: Mapping[str, Any]) -> str:
    """One word: whether a case agrees, differs, or had nothing that could be compared."""
    compared = any(result["comparisons"] for result in case["results"])
    return "agrees" if case["passed"] else "differs" if compared else "none"


def printable(value: Any) -> str:
    """Text of a file with its control characters as escapes: on a terminal they could draw over a verdict."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))


def show_case(case: Mapping[str, Any]) -> dict[str, Any]:
    """Rows for the table, series for the plot, and the drawing of one case."""
    results = [result for result in case["results"] if not result["skipped"]]
    rows = [_row(layer, results) for layer in case["layers"] if not layer["source"]]
    states = {row["index"]: row["state"] for row in rows}
    culprits = {result["culprit"] for result in results if result["culprit"]}
    return {
        "rows": rows,
        "culprits": [_culprit(row, results) for row in rows if row["name"] in culprits],
        "gradients": _gradients(results),
        "drawing": draw(case["layers"]),
        "states": states,
        "culprit_names": culprits,
        "plot": _plot(rows, results),
        "figures": _figures(results),
    }


def _row(layer: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    of = {result["backend"]: [c for c in _forward(result) if c["layer"] == layer["name"]] for result in results}
    everything = [one for comparisons in of.values() for one in comparisons]
    worst = max(everything, key=lambda one: number(one["share"]), default=None)
    noise = max((number(one["noise"]) for one in everything if one["noise"] is not None), default=None)
    return {
        **layer,
        "shape": " × ".join(map(str, layer["shapes"][0])) if layer["shapes"] else "",
        "of": of,
        "shares": {backend: share_of(comparisons) for backend, comparisons in of.items()},
        "worst": worst,
        "noise": noise,
        "state": state_of(everything),
    }


def _forward(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in result["comparisons"] if not one["gradient"]]


def share_of(comparisons: Iterable[Mapping[str, Any]]) -> float | None:
    """The largest share of what is allowed; None where nothing was compared."""
    return max((number(one["share"]) for one in comparisons), default=None)


def state_of(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """One word for a layer's comparisons: a key of `STATES`."""
    share = share_of(comparisons)
    if share is None:
        return "none"
    if not all(one["passed"] for one in comparisons):
        return "wrong"
    return "equal" if share == 0 else "ok" if share <= 0.1 else "near"


def _culprit(row: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    told = [result for result in results if result["culprit"] == row["name"]]
    failed = [one for result in told for one in _forward(result) if one["layer"] == row["name"] and not one["passed"]]
    return {
        **row,
        "backends": [result["backend"] for result in told],
        "cause": next((result["cause"] for result in told if result["cause"]), ""),
        "first": min(failed, key=lambda one: one["mode"] != "alone", default=None),
    }


def _gradients(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"backend": result["backend"], **one} for result in results for one in result["comparisons"] if one["gradient"]
    ]


def _figures(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Totals: arrays and values compared, how many lie beyond, the largest share and multiple of noise."""
    everything = [one for result in results for one in result["comparisons"]]
    chained = [one for one in everything if one["mode"] == "chain" and one["of_noise"] is not None]
    return {
        "arrays": len(everything),
        "values": sum(one["count"] for one in everything),
        "beyond": sum(one["beyond"] for one in everything),
        "share": share_of(everything),
        "of_noise": max((number(one["of_noise"]) for one in chained), default=None),
    }


def _plot(rows: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Series over the layers, each as a share of the layer's scale, so that layers compare."""
    series = []
    for result in results:
        for mode, words in (("alone", "alone"), ("chain", "in chain")):
            values = [_relative(row["of"][result["backend"]], mode, "worst") for row in rows]
            if any(value is not None for value in values):
                series.append({"label": f"{result['backend']}, {words}", "values": values, "mode": mode})
    every = [[one for comparisons in row["of"].values() for one in comparisons] for row in rows]
    modes = ("chain", "alone") if any(one["mode"] == "chain" for ones in every for one in ones) else ("alone",)
    return {
        "names": [row["name"] for row in rows],
        "types": [row["type"] for row in rows],
        "series": series,
        "noise": [_relative(ones, "chain", "noise") for ones in every],
        "allowed": [_relative(ones, modes[0], "allowed") for ones in every],
    }


def _relative(comparisons: Iterable[Mapping[str, Any]], mode: str, key: str) -> float | None:
    found = [
        number(one[key]) / number(one["scale"]) if not one["problem"] else inf
        for one in comparisons
        if one["mode"] == mode and one[key] is not None and (number(one["scale"]) > 0 or one["problem"])
    ]
    if not found:
        return None
    return min(max(*found, FLOOR), 1e6) if isfinite(max(found)) else 1e6


def bars(histogram: Sequence[int]) -> list[dict[str, Any]]:
    """A histogram's bars: height from 0 to 1, and the sentence that a bar stands for."""
    most = max(histogram, default=0)
    found = []
    for place, many in enumerate(histogram):
        low = DECADES[place - 2] if place >= 2 else None
        if place == 0:
            words = "equal"
        elif place == 1:
            words = f"below 1e{DECADES[0]:g} of the scale"
        elif place == len(histogram) - 1:
            words = f"above 1e{DECADES[-1]:g} of the scale, or no number"
        else:
            words = f"1e{low:g} to 1e{DECADES[place - 1]:g} of the scale"
        # The root keeps rare values visible beside frequent ones.
        height = (many / most) ** 0.25 if many else 0.0
        found.append({"count": many, "height": height, "words": words, "place": place})
    return found


__all__ = [
    "FLOOR",
    "STATES",
    "Drawing",
    "bars",
    "number",
    "oracle",
    "share_of",
    "show_case",
    "state_of",
    "state_of_case",
]

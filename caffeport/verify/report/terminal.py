"""The report on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from caffeport.verify.report.html import plain_number, sci
from caffeport.verify.report.view import oracle, printable, show_case, state_of_case

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

MARKS = {"agrees": ("agrees   ", "green"), "differs": ("DIFFERS  ", "bold red"), "none": ("NOTHING  ", "bold yellow")}
COLOURS = {"none": "dim", "equal": "green", "ok": "green", "near": "yellow", "wrong": "bold red"}


def print_report(report: Mapping[str, Any], console: Console, layers: bool = True) -> None:
    """Print verdicts, culprits with their causes, and (with `layers`) every layer's numbers."""
    other = oracle(report)
    for case in report["cases"]:
        mark = MARKS[state_of_case(case)]
        console.print(_text(*mark) + _text(f"{case['name']} {case['verdict']}", "default"))
        shown = show_case(case)
        for culprit in shown["culprits"]:
            _print_culprit(culprit, console, other)
        for result in case["results"]:
            for note in [result["skipped"], *result["notes"]]:
                if note:
                    said = note.replace("\n", "; ")
                    console.print(_text(f"         {result['backend']}: {said}", "dim"))
        if layers:
            console.print(_table(case, shown))
    if report["kind"] == "evidence":
        console.print(_text("Witnesses are evidence, not Caffe: only a recording of real Caffe is proof.", "yellow"))


def _text(value: Any, style: str = "") -> Text:
    from rich.text import Text

    return Text(printable(value), style)


def _print_culprit(culprit: Mapping[str, Any], console: Console, other: str) -> None:
    names = ", ".join(culprit["backends"])
    console.print(_text(f"         first wrong: layer {culprit['name']!r} ({culprit['type']}), as {names}", "red"))
    first = culprit["first"]
    if first is not None:
        told = first["problem"] or (
            f"{first['beyond']} of {first['count']} values beyond {sci(first['allowed'])}; worst at {first['index']}: "
            f"{plain_number(first['got'])}, {other} has {plain_number(first['want'])}"
        )
        console.print(_text(f"         {told}", "red"))
    if culprit["cause"]:
        console.print(_text(f"         suspected cause, confirmed by recomputation: {culprit['cause']}", "bold"))


def _table(case: Mapping[str, Any], shown: Mapping[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    backends = [result["backend"] for result in case["results"] if not result["skipped"]]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption="shares of what is allowed; above 1 differs")
    for name in ("layer", "type", "output"):
        table.add_column(name, overflow="fold")
    for name in (*backends, "worst", "x noise", "ulps"):
        table.add_column(name, justify="right")
    for row in shown["rows"]:
        colour = COLOURS[row["state"]]
        worst = row["worst"] or {"worst": None, "of_noise": None, "ulps": None}
        numbers = [row["shares"][name] for name in backends] + [worst[key] for key in ("worst", "of_noise", "ulps")]
        cells = [_text(row["name"], colour), _text(row["type"]), _text(row["shape"])]
        table.add_row(*cells, *(_text(sci(number), colour) for number in numbers))
    return table

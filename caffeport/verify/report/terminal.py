"""The report on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from caffeport.verify.report.html import plain_number, sci
from caffeport.verify.report.view import show_case

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = {"none": "dim", "equal": "green", "ok": "green", "near": "yellow", "wrong": "bold red"}


def print_report(report: Mapping[str, Any], console: Console, layers: bool = True) -> None:
    """Print verdicts, culprits with their causes, and (with `layers`) every layer's numbers."""
    from rich.text import Text

    for case in report["cases"]:
        mark = Text("agrees   " if case["passed"] else "DIFFERS  ", "green" if case["passed"] else "bold red")
        console.print(mark + Text(f"{case['name']} {case['verdict']}", "default"))
        shown = show_case(case)
        for culprit in shown["culprits"]:
            _print_culprit(culprit, console)
        for result in case["results"]:
            for note in [result["skipped"], *result["notes"]]:
                if note:
                    console.print(Text(f"         {result['backend']}: {note}", "dim"))
        if layers:
            console.print(_table(case, shown))
    if report["kind"] == "evidence":
        console.print(Text("Witnesses are evidence, not Caffe: only a recording of real Caffe is proof.", "yellow"))


def _print_culprit(culprit: Mapping[str, Any], console: Console) -> None:
    from rich.text import Text

    names = ", ".join(culprit["backends"])
    console.print(Text(f"         first wrong: layer {culprit['name']!r} ({culprit['type']}), as {names}", "red"))
    first = culprit["first"]
    if first is not None:
        told = first["problem"] or (
            f"{first['beyond']} of {first['count']} values beyond {sci(first['allowed'])}; worst at {first['index']}: "
            f"{plain_number(first['got'])}, Caffe has {plain_number(first['want'])}"
        )
        console.print(Text(f"         {told}", "red"))
    if culprit["cause"]:
        console.print(Text(f"         suspected cause, confirmed by recomputation: {culprit['cause']}", "bold"))


def _table(case: Mapping[str, Any], shown: Mapping[str, Any]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

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
        cells = [Text(row["name"], colour), Text(row["type"]), Text(row["shape"])]
        table.add_row(*cells, *(Text(sci(number), colour) for number in numbers))
    return table

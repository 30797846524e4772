"""The report as Markdown, for an issue or a supplement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from caffeport.verify.report.html import count, plain_number, sci
from caffeport.verify.report.view import oracle, printable, show_case

#: Cases in full only up to here; of more, those that fail.
FULL = 3


def render_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown: the verdict, what was compared, and a table of the layers."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {'Parity' if report['kind'] == 'golden' else 'Evidence'}: {'yes' if report['passed'] else 'NO'}"
    yield ""
    yield text(report["verdict"]) + "."
    if report["kind"] == "evidence":
        yield ""
        yield "Witnesses are evidence, not Caffe: only a golden case recorded by real Caffe is proof."
    yield ""
    for refusal in report["refused"]:
        yield f"- refused: {text(refusal)}"
    yield from _setting(report)
    cases = report["cases"]
    for case in cases:
        if len(cases) <= FULL or not case["passed"]:
            yield from _case(case, oracle(report))


def _setting(report: Mapping[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    machine, tolerance = report["machine"], report["tolerance"]
    system = f"{machine['cores']} cores, {text(machine['system'])}"
    yield f"Made {report['made']} on {text(machine['processor'])} ({system})."
    yield f"Versions: {text(versions)}."
    yield (
        f"Allowed: {tolerance['forward']:g} of a blob's largest value ({tolerance['gradient']:g} for gradients), in "
        f"chain {tolerance['noise_factor']:g} times the port's own float32 rounding if that is more (but not, forward, "
        f"more than {tolerance['noise_most']:g} of the value: noise like that excuses nothing)."
    )
    yield ""


def _case(case: Mapping[str, Any], other: str) -> Iterator[str]:
    yield f"## {text(case['name'])}"
    yield ""
    yield f"{text(case['verdict'])}. Oracle: {text(case['oracle'])}."
    yield ""
    yield from _table(("file", "what", "bytes", "SHA-256"), [_file(file) for file in case["files"]])
    shown = show_case(case)
    for culprit in shown["culprits"]:
        yield from _culprit(culprit, other)
    backends = [result["backend"] for result in case["results"] if not result["skipped"]]
    header = (
        "#",
        "layer",
        "type",
        "output",
        *(f"{text(name)}, of allowed" for name in backends),
        "worst",
        "x noise",
        "cosine",
    )
    yield from _table(header, [_row(row, backends) for row in shown["rows"]])
    for result in case["results"]:
        if result["skipped"]:
            yield f"Not run as {text(result['backend'])}: {text(result['skipped'])}"
            yield ""
        for note in result["notes"]:
            yield f"- {text(result['backend'])}: {text(note)}"


def _file(file: Mapping[str, Any]) -> tuple[str, ...]:
    return f"`{text(file['name'])}`", text(file["role"]), count(file["bytes"]), f"`{file['sha256']}`"


def _culprit(culprit: Mapping[str, Any], other: str) -> Iterator[str]:
    backends = text(", ".join(culprit["backends"]))
    yield f"**First wrong: layer `{text(culprit['name'])}` ({text(culprit['type'])})**, as {backends}."
    first = culprit["first"]
    if first is not None and first["problem"]:
        yield f"{text(first['problem'])}."
    elif first is not None:
        yield (
            f"{first['beyond']} of {first['count']} values lie beyond {sci(first['allowed'])}; the worst, at "
            f"{first['index']}, is {plain_number(first['got'])}, {other} has {plain_number(first['want'])}."
        )
    if culprit["cause"]:
        yield f"Suspected cause, confirmed by recomputation: {text(culprit['cause'])}."
    yield ""


def _row(row: Mapping[str, Any], backends: Sequence[str]) -> tuple[str, ...]:
    worst = row["worst"] or {"worst": None, "of_noise": None, "cosine": None}
    shares = [sci(row["shares"][name]) for name in backends]
    numbers = (sci(worst["worst"]), sci(worst["of_noise"]), _cosine(worst["cosine"]))
    return str(row["index"]), f"`{text(row['name'])}`", text(row["type"]), row["shape"], *shares, *numbers


def _cosine(value: float | None) -> str:
    return "–" if value is None else f"{value:.7f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def text(value: Any) -> str:
    """Text of a file as Markdown that says nothing but itself: on one line, no markup, no pipes."""
    flat = printable(" ".join(str(value).split()))
    return "".join(f"\\{char}" if char in "\\|<>[]*_#" else "'" if char == "`" else char for char in flat)

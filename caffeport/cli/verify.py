"""`caffeport verify`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from caffeport.errors import CaffeportError, Refused

if TYPE_CHECKING:
    from rich.console import Console

    from caffeport.verify.run import Result

BACKENDS = ("module", "source", "onnx")


@click.command("verify")
@click.argument("cases", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--on", default=",".join(BACKENDS), show_default=True, help="Back ends, with commas between them.")
@click.option("--layers", is_flag=True, help="Print every layer's numbers too, alone and in chain.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all numbers to this file.")
def command(cases: tuple[Path, ...], on: str, layers: bool, json_file: Path | None) -> None:
    """Prove the port of golden CASES (folders, searched recursively) beside what real Caffe computed.

    Exit code 0: everything agrees; 1: something does not; 2: a case is broken or its net refused.
    """
    from rich.progress import track

    from caffeport.cli.tables import console
    from caffeport.verify.case import find_cases, open_case
    from caffeport.verify.run import verify

    backends = _backends(on)
    out, progress = console(), console(stderr=True)
    found: list[Result] = []
    refused: list[str] = []
    folders = [folder for path in cases for folder in find_cases(path)]
    for folder in track(folders, "verifying", console=progress, transient=True, disable=not progress.is_terminal):
        try:
            results = verify(open_case(folder), backends)
        except CaffeportError as error:
            refused.append(str(error))
            out.print(f"REFUSED  {error}", markup=False, style="red")
            continue
        found += results
        _lines(results, out, layers)
    _summary(found, refused, out)
    if json_file is not None:
        _write_json(found, refused, json_file)
    sys.exit(2 if refused else 0 if all(result.passed for result in found) else 1)


def _backends(on: str) -> tuple[str, ...]:
    chosen = tuple(name.strip() for name in on.split(",") if name.strip())
    unknown = [name for name in chosen if name not in BACKENDS]
    if unknown or not chosen:
        raise Refused("--on", f"is {on!r}", f"any of {', '.join(BACKENDS)}, with commas between them")
    return chosen


def _lines(results: list[Result], out: Console, layers: bool) -> None:
    """One line for the case; then what failed, or with `layers` everything."""
    from caffeport.cli.tables import table

    worst = [f"{result.backend} {_mark(result)}" for result in results]
    failed = any(not result.passed for result in results)
    out.print(f"{'FAIL' if failed else 'ok  '}  {results[0].case}  {'  '.join(worst)}", markup=False)
    for result in results:
        if result.skipped:
            out.print(f"      not on {result.backend}: {result.skipped}", markup=False, style="dim")
        if result.culprit:
            out.print(f"      {result.backend}: first wrong alone: layer {result.culprit!r}", markup=False, style="red")
        if layers:
            rows = [_row(one) for one in result.comparisons]
            out.print(table(("layer", "what", "how", "worst", "allowed", "noise", "ok"), rows, title=result.backend))
        else:
            for one in [one for one in result.comparisons if not one.passed][:5]:
                out.print(f"      {result.backend}: {one}", markup=False, style="red")


def _mark(result: Result) -> str:
    if result.skipped:
        return "-"
    if not result.comparisons:
        return "nothing recorded"
    share = max((one.worst / one.allowed if one.allowed else float(one.worst > 0)) for one in result.comparisons)
    return f"{share:.2f}"


def _row(one: Any) -> tuple[str, ...]:
    noise = "" if one.noise is None else f"{one.noise:.1e}"
    how = f"{'gradient ' if one.gradient else ''}{one.mode}"
    return one.layer, one.what, how, f"{one.worst:.1e}", f"{one.allowed:.1e}", noise, "yes" if one.passed else "NO"


def _summary(found: list[Result], refused: list[str], out: Console) -> None:
    out.print()
    for backend in BACKENDS:
        ran = [result for result in found if result.backend == backend]
        if not ran:
            continue
        done = [result for result in ran if not result.skipped]
        agreeing = sum(result.passed for result in done)
        numbers = sum(len(result.comparisons) for result in done)
        skipped = f", {len(ran) - len(done)} cannot run there" if len(ran) > len(done) else ""
        out.print(f"{backend}: {agreeing} of {len(done)} cases agree with Caffe ({numbers:,} comparisons{skipped})")
    if refused:
        out.print(f"{len(refused)} refused")


def _write_json(found: list[Result], refused: list[str], file: Path) -> None:
    from caffeport.files import replacing

    content = {
        "passed": not refused and all(result.passed for result in found),
        "refused": refused,
        "results": [
            {
                "case": result.case,
                "backend": result.backend,
                "passed": result.passed,
                "skipped": result.skipped,
                "culprit": result.culprit,
                "comparisons": [one.as_json() for one in result.comparisons],
            }
            for result in found
        ],
    }
    with replacing(file) as part:
        part.write_text(json.dumps(content, indent=1))

"""`caffeport verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from caffeport.cli import recipe
from caffeport.errors import CaffeportError, Refused
from caffeport.verify import BACKENDS, WITNESSES

if TYPE_CHECKING:
    from rich.console import Console

    from caffeport.verify.case import Case
    from caffeport.verify.run import Result


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--golden", type=click.Path(path_type=Path), help="Verify shipped files, given as PATHS, on this case.")
@click.option("--input", "picture", type=click.Path(path_type=Path), help="Compare NET WEIGHTS with witnesses on this.")
@click.option("--on", default="", help=f"Back ends ({', '.join(BACKENDS)}) or, with --input, witnesses.")
@click.option("--report", "reports", multiple=True, type=click.Path(path_type=Path), help="Write .html, .md or .json.")
@click.option("--bisect", "piece", type=click.Path(path_type=Path), help="Cut the layer that fails into a case here.")
@click.option("--layers", is_flag=True, help="Print every layer's numbers too.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all numbers to this file.")
@recipe.options
def command(
    paths: tuple[Path, ...],
    golden: Path | None,
    picture: Path | None,
    on: str,
    reports: tuple[Path, ...],
    piece: Path | None,
    layers: bool,
    json_file: Path | None,
    **preparing: Any,
) -> None:
    """Prove a port beside what real Caffe computed, layer by layer.

    PATHS are golden cases (folders, searched recursively): the port of each is compared as module, as emitted source
    and in ONNX Runtime. With --golden they are files to ship (.pt, .safetensors, .onnx, .pt2, .py; a .py is run), each
    compared on that case. With --input they are NET WEIGHTS, compared on a picture with witnesses: evidence, not Caffe;
    the picture is prepared as the options below say.

    Exit code 0: everything agrees; 1: something does not, or nothing could be compared; 2: a case is broken or its
    net refused.
    """
    from caffeport.verify.report import check_format

    for report in reports:
        check_format(report)
    if golden is not None and picture is not None:
        raise Refused("--input", "is given with --golden", "one of the two")
    if piece is not None and (golden or picture):
        raise Refused("--bisect", "is given with --golden or --input", "it cuts cases that are verified by themselves")
    if on and golden:
        raise Refused("--on", "is given with --golden", "a file runs as what it is")
    if any(value not in (None, (), False) for value in preparing.values()) and picture is None:
        raise Refused("verify", "is told how to prepare a picture, and given none", "--input PICTURE")
    done = _Done(layers)
    if picture is not None:
        _witnesses(paths, picture, on, preparing, done)
    elif golden is not None:
        _shipped(paths, golden, done)
    else:
        _cases(paths, _names(on, BACKENDS), piece, done)
    done.finish((*reports, *((json_file,) if json_file else ())), json_file)


@dataclass
class _Done:
    """What was verified so far, printed as it comes."""

    layers: bool
    kind: str = "golden"
    results: list[Result] = field(default_factory=list)
    described: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def out(self) -> Console:
        from caffeport.cli.tables import console

        return console()

    def add(self, described: dict[str, Any], results: Iterable[Result]) -> None:
        from caffeport.verify.report import print_report

        self.described.append(described)
        self.results += results
        print_report({"kind": self.kind, "cases": [described]}, self.out, self.layers)

    def refuse(self, error: CaffeportError) -> None:
        from caffeport.verify.report.view import printable

        self.refused.append(str(error))
        said = "\n         ".join(printable(line) for line in str(error).splitlines())
        self.out.print(f"REFUSED  {said}", markup=False, style="red")

    def finish(self, reports: Sequence[Path], json_file: Path | None) -> None:
        """Print the totals, write the reports, and leave with the exit code."""
        from caffeport.files import replacing
        from caffeport.verify.report import make_report, render_json, write_report

        _summary(self.results, self.refused, self.out, "Caffe" if self.kind == "golden" else "the port")
        whole = make_report(self.described, self.refused, self.kind)
        for path in reports:
            if path == json_file:
                with replacing(path) as part:
                    part.write_text(render_json(whole), encoding="utf-8")
            else:
                write_report(whole, path)
        sys.exit(2 if self.refused else 0 if whole["passed"] else 1)


def _cases(paths: Sequence[Path], on: tuple[str, ...], piece: Path | None, done: _Done) -> None:
    from rich.progress import track

    from caffeport.cli.tables import console
    from caffeport.verify.case import find_cases
    from caffeport.verify.run import verify

    progress = console(stderr=True)
    folders = [folder for path in paths for folder in find_cases(path)]
    for folder in track(folders, "verifying", console=progress, transient=True, disable=not progress.is_terminal):
        _one(folder, lambda case: verify(case, on), piece, done)


def _one(folder: Path, run: Callable[[Case], list[Result]], piece: Path | None, done: _Done) -> None:
    """One case: verified, described, and cut where that is asked for; a refusal does not stop the others."""
    from caffeport.verify.bisect import bisect
    from caffeport.verify.case import open_case
    from caffeport.verify.report import describe_case

    start = perf_counter()
    try:
        case = open_case(folder)
        results = run(case)
        done.add(describe_case(case, results, perf_counter() - start), results)
        if piece is not None and any(result.culprit for result in results):
            target = piece if not piece.exists() else piece / folder.name
            cut = bisect(case, results, target)
            still = "fails by itself" if cut.fails else "does not fail by itself: the fault is not in it alone"
            done.out.print(f"         layer {cut.layer!r} is cut out into {cut.folder}; it {still}", markup=False)
    except CaffeportError as error:
        done.refuse(error)


def _shipped(paths: Sequence[Path], golden: Path, done: _Done) -> None:
    from caffeport.verify.artefact import verify_artefact
    from caffeport.verify.case import open_case
    from caffeport.verify.report import describe_case

    case, start = open_case(golden), perf_counter()
    results: list[Result] = []
    files: dict[str, Path] = {}
    for path in paths:
        try:
            results.append(verify_artefact(path, case))
            files[f"shipped file {len(files) + 1}"] = path
        except CaffeportError as error:
            done.refuse(error)
    if results:
        done.add(describe_case(case, results, perf_counter() - start, files), results)


def _witnesses(paths: Sequence[Path], picture: Path, on: str, preparing: dict[str, Any], done: _Done) -> None:
    from caffeport.port import open_port
    from caffeport.verify.evidence import describe_evidence, gather, picture_inputs

    if len(paths) > 2:
        raise Refused("verify --input", f"has {len(paths)} files", "NET WEIGHTS, or WEIGHTS that hold their net")
    start, names = perf_counter(), _names(on, WITNESSES)
    port = open_port(paths[0] if len(paths) > 1 else None, paths[-1])
    asked = recipe.chosen(preparing, port.recipe)
    port, inputs = picture_inputs(port, picture, asked.preprocessing if asked else None)
    results = gather(port, inputs, names)
    done.kind = "evidence"
    done.add(describe_evidence(port, results, picture, perf_counter() - start), results)


def _names(on: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(name.strip() for name in on.split(",") if name.strip()) or allowed
    if any(name not in allowed for name in chosen):
        raise Refused("--on", f"is {on!r}", f"any of {', '.join(allowed)}, with commas between them")
    return chosen


def _summary(found: list[Result], refused: list[str], out: Console, oracle: str) -> None:
    out.print()
    for backend in dict.fromkeys(result.backend for result in found):
        ran = [result for result in found if result.backend == backend]
        done = [result for result in ran if not result.skipped]
        agreeing = sum(result.agrees for result in done)
        numbers = sum(len(result.comparisons) for result in done)
        skipped = f", {len(ran) - len(done)} cannot run there" if len(ran) > len(done) else ""
        said = f"{backend}: {agreeing} of {len(done)} cases agree with {oracle} ({numbers:,} comparisons{skipped})"
        out.print(said, markup=False)
    if refused:
        out.print(f"{len(refused)} refused")

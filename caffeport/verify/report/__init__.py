"""Reports of a verification: plain data, and pure functions that make a terminal's text, Markdown, JSON and HTML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from caffeport.errors import Refused
from caffeport.files import replacing
from caffeport.verify.report.data import Report, describe_case, make_report
from caffeport.verify.report.html import render_html
from caffeport.verify.report.markdown import render_markdown
from caffeport.verify.report.terminal import print_report


def render_json(report: Report) -> str:
    """The report as JSON, by `schema.json`; non-finite numbers are strings."""
    return json.dumps(report, indent=1, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Report], str]] = {
    ".html": render_html,
    ".json": render_json,
    ".md": render_markdown,
}


def check_format(path: Path) -> None:
    """Raise Refused where no report has the path's suffix: before the work, not after it."""
    if path.suffix not in FORMATS:
        raise Refused(str(path), f"no report has the suffix {path.suffix!r}", f"there are {', '.join(FORMATS)}")


def write_report(report: Report, path: Path) -> None:
    """Write a report in the format of the path's suffix; the file appears when it is complete."""
    check_format(path)
    text = FORMATS[path.suffix](report)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


__all__ = ["Report", "check_format", "describe_case", "make_report", "print_report", "render_json", "write_report"]

"""The report as one HTML file: styles, scripts and data inside, nothing fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from caffeport.verify.report.view import STATES, bars, number, oracle, show_case

ASSETS = files("caffeport.verify.report") / "assets"
#: A report of so many cases opens those that fail only.
OPEN_CASES = 3


def render_html(report: Mapping[str, Any]) -> str:
    """The page; every text of the report is escaped, and the numbers are embedded as JSON."""
    shown = [show_case(case) for case in report["cases"]]
    page: str = _template().render(
        report=report,
        shown=shown,
        plots=[one["plot"] for one in shown],
        states=STATES,
        open_all=len(shown) <= OPEN_CASES,
        asset=_asset,
    )
    return page


def _asset(name: str) -> Markup:
    """A file of our own that goes into the page as it is."""
    return Markup((ASSETS / name).read_text(encoding="utf-8"))


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., Any]] = {
        "sci": sci,
        "plain": plain_number,
        "count": count,
        "short": short,
        "bars": bars,
        "bytes": bytes_,
        "oracle": oracle,
    }
    environment.filters |= filters
    return environment.from_string((ASSETS / "report.html.j2").read_text(encoding="utf-8"))


def sci(value: Any) -> str:
    """A difference or a share: three digits at most, ``1.2e-6``; a dash where there is none."""
    if value is None:
        return "–"
    x = number(value)
    if not isfinite(x):
        return "∞" if x > 0 else "not a number"
    if x == 0:
        return "0"
    if 0.01 <= abs(x) < 10000:
        return f"{x:.2f}" if abs(x) < 100 else f"{x:,.0f}"
    mantissa, exponent = f"{x:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def plain_number(value: Any) -> str:
    """A value as float32 tells it apart: nine digits."""
    return f"{number(value):.9g}".replace("-", "−")


def count(value: int) -> str:
    """A whole number in groups of three, with a thin space."""
    return f"{value:,}".replace(",", "\u202f")


def short(value: int) -> str:
    """A large count in words: ``56.9 M``."""
    for size, name in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.1f} {name}"
    return str(value)


def bytes_(value: int) -> str:
    """A file's size."""
    return f"{short(value)}B" if value >= 1000 else f"{value} B"

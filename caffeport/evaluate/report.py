"""An evaluation as a table, as JSON with plots, and as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caffeport.errors import Refused
from caffeport.evaluate.plots import DARK, Plots, draw
from caffeport.files import replacing
from caffeport.transform.needs import need
from caffeport.version import __version__

if TYPE_CHECKING:
    from caffeport.evaluate.metrics import Agreement, Classification
    from caffeport.evaluate.run import Evaluation, View

PAGE: Final = "evaluation.html"
NUMBERS: Final = "evaluation.json"

_TITLES: Final = {
    "distributions": "Distributions of truth and predictions",
    "scatter": "Scores and ranks",
    "calibration": "Calibration",
    "confusion": "Confusion of classes",
}


def columns(found: Evaluation) -> list[str]:
    """The heads of the table."""
    return ["", *(view.name for view in found.views)]


def rows(found: Evaluation) -> list[list[str]]:
    """The table: a line a number, a column a view."""
    parts = [_cells(view) for view in found.views]
    return [[name, *(part[name] for part in parts)] for name in parts[0]]


def _cells(view: View) -> dict[str, str]:
    if view.agreement is not None:
        return _agreement(view.agreement)
    return {} if view.classification is None else _classification(view.classification)


def _agreement(one: Agreement) -> dict[str, str]:
    interval = "-" if one.rho_low is None or one.rho_high is None else f"{one.rho_low:.4f} to {one.rho_high:.4f}"
    return {
        "pictures": f"{one.count:,}",
        "Spearman's rho": _maybe(one.rho, ".4f"),
        "95 % interval": interval,
        "Pearson's r": _maybe(one.pearson, ".4f"),
        "mean squared error": f"{one.mse:.6g}",
        "mean (predicted)": f"{one.mean:.5g}",
        "mean (truth)": f"{one.true_mean:.5g}",
        "standard deviation (predicted)": f"{one.std:.4g}",
        "standard deviation (truth)": f"{one.true_std:.4g}",
        "predicted over true deviation": _maybe(one.ratio, ".4g"),
        "Kolmogorov-Smirnov distance": f"{one.ks:.4f}",
    }


def _classification(one: Classification) -> dict[str, str]:
    return {
        "pictures": f"{one.count:,}",
        "correct": f"{one.correct:,}",
        "accuracy": f"{one.top1:.4f}",
        "accuracy (best five)": _maybe(one.top5, ".4f"),
    }


def _maybe(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def write_report(found: Evaluation, folder: Path) -> list[Path]:
    """Write the page, the numbers, and every plot as PNG and SVG into a folder. Raises Refused."""
    plots = draw(found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(str(folder), f"cannot be made ({error.strerror})") from None
    files: dict[str, bytes] = {
        PAGE: page(found, plots).encode("utf-8", "backslashreplace"),
        NUMBERS: (json.dumps(found.as_json(), indent=1) + "\n").encode(),
    }
    files |= {f"{name}.{kind}": data for name, kinds in plots.items() for kind, data in kinds.items()}
    for name, data in files.items():
        with replacing(folder / name) as part:
            part.write_bytes(data)
    return [folder / name for name in files]


def page(found: Evaluation, plots: Plots | None = None) -> str:
    """One HTML page with everything inside: no scripts, no other file. Raises Refused where a package is missing."""
    jinja2 = need("jinja2")
    source = (Path(__file__).with_name("page.html.j2")).read_text("utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(source)
    light, dark = draw(found, formats=("svg",)) if plots is None else plots, draw(found, DARK, ("svg",))
    images = [(_title(name), _inlined(light[name]), _inlined(dark[name])) for name in light]
    whole: str = template.render(
        found=found,
        figures=[(view.name, _figures(view)) for view in found.views],
        header=columns(found)[1:],
        rows=rows(found),
        plots=images,
        version=__version__,
    )
    return whole


def _inlined(kinds: Mapping[str, bytes]) -> str:
    return base64.b64encode(kinds["svg"]).decode()


def _figures(view: View) -> list[tuple[str, str]]:
    """What is read first: a number and what it is."""
    one, two = view.agreement, view.classification
    if two is not None:
        five = [] if two.top5 is None else [(f"{two.top5:.3f}", "accuracy, best five")]
        return [(f"{two.top1:.3f}", f"accuracy, {two.correct:,} of {two.count:,}"), *five]
    if one is None:
        return []
    low, high = _maybe(one.rho_low, ".3f"), _maybe(one.rho_high, ".3f")
    return [
        (_maybe(one.rho, ".3f"), "Spearman's rho" if low == "-" else f"Spearman's rho, 95 % from {low} to {high}"),
        (_maybe(one.ratio, ".3g"), "spread of the predictions over that of the truth"),
        (f"{one.mean - one.true_mean:+.3g}", "mean of the predictions less that of the truth"),
    ]


def _title(name: str) -> str:
    kind, _, view = name.partition("-")
    return _TITLES[kind] + (f", {view.replace('-', ' ')}" if view else "")

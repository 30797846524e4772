"""Reports as pure functions of plain data, and the page in a real browser."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from caffeport.errors import Refused
from caffeport.verify.case import open_case
from caffeport.verify.report import describe_case, make_report, print_report, render_json, write_report
from caffeport.verify.report.html import render_html
from caffeport.verify.report.layout import HEIGHT, WIDTH, draw
from caffeport.verify.report.markdown import render_markdown
from caffeport.verify.run import verify

from .mutating import reread

Report = dict[str, Any]


def of(folder: Path) -> Report:
    case = open_case(folder)
    return describe_case(case, verify(case), 1.5)


@pytest.fixture(scope="module")
def right(golden: Path) -> Report:
    return make_report([of(golden / "formats" / "v2")])


@pytest.fixture(scope="module")
def wrong(golden: Path) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        reread("LRN", alpha=1.0)(patch)
        return make_report([of(golden / "formats" / "v2"), of(golden / "layers" / "graph" / "deep-residual")])


@pytest.mark.parametrize("name", ["right", "wrong"])
def test_json_is_what_the_schema_says(name: str, request: pytest.FixtureRequest) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="checks the schema")
    report = json.loads(render_json(request.getfixturevalue(name)))
    schema = json.loads((files("caffeport.verify.report") / "schema.json").read_text())
    jsonschema.validate(report, schema)


def test_verdicts(right: Report, wrong: Report) -> None:
    assert right["passed"]
    assert right["verdict"] == "formats/v2 agrees with Caffe as module, source and onnx"
    assert not wrong["passed"]
    assert wrong["verdict"] == "1 of 2 cases agree with Caffe"
    assert "layer 'norm1' is the first that is wrong" in wrong["cases"][0]["verdict"]
    assert "alpha is dropped (taken as 1;" in wrong["cases"][0]["verdict"]
    assert not make_report([], ["net.prototxt: refused"])["passed"]


@pytest.mark.parametrize("render", [render_html, render_markdown, render_json])
def test_what_a_reviewer_needs_is_there(render: Callable[[Report], str], right: Report) -> None:
    text = render(right)
    case = right["cases"][0]
    for file in case["files"]:
        assert file["sha256"] in text
    for words in (case["oracle"], right["made"], "torch", right["machine"]["processor"]):
        assert words in text
    for layer in case["layers"][1:]:
        assert layer["name"] in text


def test_markdown_and_terminal_name_culprit_and_cause(wrong: Report) -> None:
    stream = io.StringIO()
    print_report(wrong, Console(file=stream, width=160))
    for text in (render_markdown(wrong).replace("\\_", "_"), stream.getvalue()):
        assert "alpha is dropped (taken as 1;" in text
        assert "norm1" in text
        assert "Caffe has" in text


def test_the_page_fetches_nothing(right: Report) -> None:
    page = render_html(right)
    assert not re.findall(r"<(?:script|img|iframe)[^>]+src=|<link(?! rel=\"icon\" href=\"data:)|@import|url\(", page)
    assert "fetch(" not in page
    assert 'type="module"' not in page


def test_names_out_of_files_stay_text(right: Report) -> None:
    evil = "</script><script>document.title='ran'</script><b onmouseover=alert(1)>`|\n# x"
    report = json.loads(render_json(right).replace("conv1", "EVIL"))
    text = json.dumps(report).replace("EVIL", json.dumps(evil)[1:-1])
    page = render_html(json.loads(text))
    assert "<script>document.title" not in page
    assert "<b onmouseover" not in page
    markdown = render_markdown(json.loads(text))
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "\n# x" not in markdown


def test_suffixes(right: Report, tmp_path: Path) -> None:
    for suffix in (".html", ".md", ".json"):
        write_report(right, tmp_path / f"report{suffix}")
        assert (tmp_path / f"report{suffix}").stat().st_size > 1000
    with pytest.raises(Refused, match=r"no report has the suffix '.pdf'"):
        write_report(right, tmp_path / "report.pdf")


@pytest.mark.parametrize("case", ["nets/resnet50", "nets/squeezenet", "layers/graph/deep-residual"])
def test_drawing_keeps_boxes_apart(case: str, golden: Path) -> None:
    from caffeport.caffe.net import read_net
    from caffeport.graph import build
    from caffeport.verify.report.data import describe_layer

    graph = build(read_net(golden / case / "net.prototxt"))
    drawing = draw([describe_layer(node) for node in graph.nodes])
    places = {(box.x, box.y) for box in drawing.boxes}
    assert len(places) == len(drawing.boxes) == len(graph.nodes)
    assert max(x for x, _ in places) + WIDTH <= drawing.width < 6 * WIDTH
    assert max(y for _, y in places) + HEIGHT <= drawing.height
    rows = {box.index: box.y for box in drawing.boxes}
    assert all(rows[upper] < rows[lower] for upper, lower, _ in drawing.edges)


# In a browser

PROBE = """
<script>
addEventListener("load", () => setTimeout(() => {
  const table = document.querySelector("table.layers"), head = (i) => table.querySelectorAll("th button")[i];
  const names = () => [...table.tBodies].map((body) => body.rows[0].cells[1].textContent.trim());
  const said = { before: names() };
  head(1).click(); said.byName = names();
  head(1).click(); said.byNameDown = names();
  head(0).click(); said.byNumber = names();
  const share = [...table.querySelectorAll("th")].findIndex((th) => th.textContent.trim() === "module");
  table.querySelectorAll("th")[share].querySelector("button").click();
  said.shares = [...table.tBodies].map((body) => Number(body.rows[0].cells[share].dataset.value));
  said.plots = document.querySelectorAll(".uplot canvas").length;
  document.querySelector(".graph .node:nth-of-type(3)").dispatchEvent(new MouseEvent("click", { bubbles: true }));
  said.opened = document.querySelectorAll("tr.detail:not([hidden])").length;
  said.wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const place = document.createElement("pre");
  place.id = "said"; place.textContent = JSON.stringify(said); document.body.append(place);
}, 300));
</script>
"""


def browse(page: Path, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"),
        *(f"--user-data-dir={work / 'profile'}", "--virtual-time-budget=4000", *options, page.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize("size", ["1200,900", "500,900"])
@pytest.mark.parametrize("name", ["right", "wrong"])
def test_the_page_works_from_a_file(name: str, size: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(request.getfixturevalue(name)).replace("</body>", PROBE + "</body>"))
    done = browse(page, tmp_path, f"--window-size={size}", "--dump-dom")
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, "the page's script did not run"
    said = json.loads(found[1].replace("&amp;", "&"))
    assert said["before"] == said["byNumber"]
    assert said["byName"] == sorted(said["before"])
    assert said["byNameDown"] == sorted(said["before"], reverse=True)
    assert said["shares"] == sorted(said["shares"])
    assert said["plots"] >= 1
    assert said["opened"] == 1
    assert said["wider"] <= 0, "the page scrolls sideways"


def test_the_page_is_not_blank(wrong: Report, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="reads the screenshot")
    page, picture = tmp_path / "report.html", tmp_path / "page.png"
    write_report(wrong, page)
    for options in ((), ("--blink-settings=preferredColorScheme=0",)):
        browse(page, tmp_path, "--window-size=1200,1600", f"--screenshot={picture}", *options)
        pixels = cv2.imread(str(picture))
        assert pixels.shape == (1600, 1200, 3)
        assert len({tuple(pixel) for pixel in pixels[::8, ::8].reshape(-1, 3).tolist()}) > 30
    assert pixels[2, 2].mean() < 60, "dark mode has a dark page"

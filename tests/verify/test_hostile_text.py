"""Hostile descriptions, archives and names: refused with a sentence, or shown as the text that they are."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from caffeport.cli import main
from caffeport.errors import BadCase, CaffeportError
from caffeport.verify.bisect import bisect
from caffeport.verify.case import open_case
from caffeport.verify.recorder import check_case
from caffeport.verify.report import describe_case, make_report, print_report, render_json
from caffeport.verify.report.html import render_html
from caffeport.verify.report.markdown import render_markdown
from caffeport.verify.report.view import printable
from caffeport.verify.run import verify

from .mutating import reread

WRONG: list[Any] = [
    None,
    True,
    -1,
    1.5,
    float("nan"),
    "",
    "x" * 1000,
    [],
    [[]],
    {},
    {"x": 1},
    10**400,
    "\ud800",
    "../../x",
]


@pytest.fixture
def case(golden: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "case"
    shutil.copytree(golden / "layers" / "lrn" / "k2", folder)
    return folder


def tried(folder: Path) -> None:
    """Whatever the case says, its reader takes it or refuses it with a sentence, and reports of it can be written."""
    try:
        opened = open_case(folder)
        check_case(folder)
        report = make_report([describe_case(opened, verify(opened, ("module",)))])
    except CaffeportError:
        return
    for text in (render_html(report), render_markdown(report), render_json(report)):
        assert text.encode()
    print_report(report, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    "key", ["format", "name", "oracle", "phase", "inputs", "outputs", "layers", "backward", "seed"]
)
def test_every_key_of_every_type(key: str, case: Path) -> None:
    meta = json.loads((case / "meta.json").read_text())
    for value in WRONG:
        (case / "meta.json").write_text(json.dumps(meta | {key: value}))
        tried(case)


@pytest.mark.parametrize("key", ["index", "name", "type", "bottoms", "tops", "inserted", "params"])
def test_every_key_of_a_layer_of_every_type(key: str, case: Path) -> None:
    meta = json.loads((case / "meta.json").read_text())
    for value in WRONG:
        layers = [{**layer, key: value} for layer in meta["layers"]]
        (case / "meta.json").write_text(json.dumps(meta | {"layers": layers, "recorded_from": value}))
        tried(case)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase": "BOTH"}, "phase is 'BOTH'; TEST or TRAIN"),
        ({"backward": "no"}, "backward is 'no'; it is of type bool"),
        ({"name": "\ud800"}, "cannot be read"),
        ({"inputs": {"data": [1 << 40, -1]}}, "the shape of input 'data' is"),
        ({"seed": True}, "seed is True"),
    ],
)
def test_wrong_types_are_named(changes: dict[str, Any], words: str, case: Path) -> None:
    (case / "meta.json").write_text(json.dumps(json.loads((case / "meta.json").read_text()) | changes))
    with pytest.raises(BadCase, match=re.escape(words)):
        open_case(case)


@pytest.mark.parametrize(("key", "value"), [("type", "Pooling"), ("tops", ["other"])])
def test_layers_of_another_type_or_with_other_tops(key: str, value: object, case: Path) -> None:
    meta = json.loads((case / "meta.json").read_text())
    meta["layers"][1][key] = value
    (case / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(BadCase, match=f"has {key} .* where Caffe recorded"):
        open_case(case)


def test_a_seed_that_would_draw_too_much(tmp_path: Path) -> None:
    folder = tmp_path / "huge"
    folder.mkdir()
    net = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 30000 } } }
    layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 30000 } }"""
    (folder / "net.prototxt").write_text(net)
    names = [("data", "Input"), ("fc", "InnerProduct")]
    layers = [{"index": k, "name": name, "type": kind, "tops": [name]} for k, (name, kind) in enumerate(names)]
    meta = {"seed": 1, "inputs": {"data": [1, 30000]}, "layers": layers}
    (folder / "meta.json").write_text(json.dumps(meta))
    sampled = {f"top/{k}/0/{what}": np.zeros(n) for k in (0, 1) for what, n in (("sample", 256), ("stats", 4))}
    np.savez(folder / "golden.npz", **sampled)  # type: ignore[arg-type]
    with pytest.raises(BadCase, match="draws 900060000 numbers from its seed; at most 536870912 are drawn"):
        open_case(folder)
    (folder / "meta.json").write_text(json.dumps({**meta, "inputs": {"data": [2, 30000]}}))
    with pytest.raises(BadCase, match="has the inputs"):
        open_case(folder)
    (folder / "meta.json").write_text(json.dumps({"layers": layers}))
    with pytest.raises(BadCase, match="has no values for input 'data'"):
        open_case(folder)


HEADERS = [
    b"{'descr': " + b"[" * 4000,
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"(" * 3000,
    b"{'descr': '''",
    b"\x00\xff\xfe",
    b"{'descr': '|V0', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '<f4', 'fortran_order': 7, 'shape': (True,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2), }",
    b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,), }",
    b"  if",
    b"1\n  2\n 3",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
def test_headers_that_hurt(header: bytes, method: int, case: Path) -> None:
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 16
    with zipfile.ZipFile(case / "golden.npz", "w", method) as archive:
        archive.writestr("in/data.npy", array)
    with pytest.raises(BadCase, match=r"golden\.npz"):
        open_case(case)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_damage_at_every_tenth_byte(method: int, case: Path) -> None:
    with zipfile.ZipFile(case / "golden.npz") as whole:
        content = {name: whole.read(name) for name in whole.namelist()}
    small = {name: data for name, data in content.items() if name.startswith(("in/", "top/0"))}
    with zipfile.ZipFile(case / "golden.npz", "w", method) as archive:
        for name, data in small.items():
            archive.writestr(name, data)
    before = (case / "golden.npz").read_bytes()
    for at in range(0, len(before), max(len(before) // 150, 1)):
        (case / "golden.npz").write_bytes(before[:at] + bytes([before[at] ^ 0xA5]) + before[at + 1 :])
        with pytest.raises(CaffeportError):
            check_case(case)


EVIL = "</script><script>document.title='ran'</script>\"'><img src=x onerror=alert(1)>\x1b[2Jagrees\r`|"


def test_names_are_text_in_every_report(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = json.loads((case / "meta.json").read_text())
    text = (case / "net.prototxt").read_text()
    assert 'name: "out"' in text
    quoted = EVIL.replace("\\", "\\\\").replace('"', '\\"').replace("\x1b", "\\033").replace("\r", "\\r")
    (case / "net.prototxt").write_text(text.replace('name: "out"', f'name: "{quoted}"'))
    meta["layers"][1]["name"] = EVIL
    (case / "meta.json").write_text(json.dumps(meta | {"name": EVIL, "oracle": EVIL}))
    reread("LRN", k=1.0)(monkeypatch)
    opened = open_case(case)
    results = verify(opened, ("module",))
    report = make_report([describe_case(opened, results)], [EVIL])
    page, markdown, stream = render_html(report), render_markdown(report), io.StringIO()
    assert "<script>document" not in page
    assert not re.search(r"<img[^>]* src=x", page)
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "\x1b" not in markdown
    print_report(report, Console(file=stream, width=200, no_color=True))
    assert "\x1b[2J" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
    piece = bisect(opened, results, case.parent / "piece")
    assert sorted(path.name for path in piece.folder.iterdir()) == ["golden.npz", "meta.json", "net.prototxt"]
    assert sorted(path.name for path in case.parent.iterdir()) == ["case", "piece"]


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[2J\r\x07\u202eb é") == "a\\x1b[2J\\r\\x07\\u202eb é"


def test_the_shell_line_quotes_the_scripts_name(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["golden", "script", str(golden / "layers/lrn/k2/net.prototxt"), "-o", str(tmp_path / "r; rm -rf x.py")])
    assert "python 'r; rm -rf x.py'" in capsys.readouterr().out

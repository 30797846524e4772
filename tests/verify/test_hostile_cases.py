"""Cases that are broken, hostile or of another net: a sentence, no crash, and no allocation before the check."""

from __future__ import annotations

import io
import json
import shutil
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffeport.errors import BadCase
from caffeport.verify import npz
from caffeport.verify.case import find_cases, open_case
from caffeport.verify.run import verify


@pytest.fixture
def case(golden: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "case"
    shutil.copytree(golden / "formats" / "v2", folder)
    return folder


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    with np.load(folder / "golden.npz") as data:
        arrays = {name: data[name] for name in data.files}
    change(arrays)
    np.savez(folder / "golden.npz", **arrays)


def remeta(folder: Path, **changes: object) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | changes))


def test_a_newer_format_is_refused(case: Path) -> None:
    remeta(case, format=2)
    with pytest.raises(BadCase, match=r"format 2; this version reads up to 1; update caffeport"):
        open_case(case)


@pytest.mark.parametrize("version", ["1", 0, -1, None, True, 1.5])
def test_formats_that_are_none(case: Path, version: object) -> None:
    remeta(case, format=version)
    if version is True:
        return
    with pytest.raises(BadCase, match="format"):
        open_case(case)


def test_a_case_without_a_format_is_of_the_first(case: Path) -> None:
    assert "format" not in json.loads((case / "meta.json").read_text())
    assert open_case(case).graph.nodes


def test_pickles_are_refused(case: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    rewrite(case, lambda arrays: arrays.update({"in/data": np.array([Evil()], dtype=object)}))
    with pytest.raises(BadCase, match="pickled objects in 'in/data'"):
        open_case(case)
    assert not (tmp_path / "ran").exists()


def header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 62, 1 << 62), (0, 1 << 60, 4), (-1,), (2, 3)])
def test_a_header_that_claims_more_than_there_is(case: Path, shape: tuple[int, ...]) -> None:
    with zipfile.ZipFile(case / "golden.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/data.npy", header(shape) + b"\0" * 64)
    tracemalloc.start()
    with pytest.raises(BadCase, match=r"golden\.npz"):
        open_case(case)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_bomb_is_refused_by_what_it_unpacks_to(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directory tells its size before anything is unpacked."""
    monkeypatch.setattr(npz, "MOST_BYTES", 40 << 20)
    with zipfile.ZipFile(case / "golden.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/data.npy", header((12 << 20,)) + bytes(48 << 20))
    assert (case / "golden.npz").stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(BadCase, match="unpacks to"):
        open_case(case)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip", struct.pack("<64Q", *range(64))])
def test_what_is_no_npz(case: Path, content: bytes) -> None:
    (case / "golden.npz").write_bytes(content)
    with pytest.raises(BadCase, match="cannot be read"):
        open_case(case)


def test_a_damaged_array_is_refused(case: Path) -> None:
    data = bytearray((case / "golden.npz").read_bytes())
    for at in range(2000, len(data) - 2000, 7):
        data[at] ^= 0x5A
    (case / "golden.npz").write_bytes(bytes(data))
    with pytest.raises(BadCase, match=r"golden\.npz"):
        verify(open_case(case), ("module",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.pop("top/3/0"), "has no top/3/0, the top 'pool1' of layer 'pool1'"),
        (lambda a: a.update({"top/77/0": np.zeros(3)}), "top/77/0, which the net does not have"),
        (lambda a: a.update({"in/other": np.zeros(3)}), "in/other, which the net does not have"),
        (lambda a: a.update({"in/data": a["in/data"][:, :2]}), "input 'data' is 2x2x35x35, the net wants 2x3x35x35"),
    ],
)
def test_blobs_of_another_net(case: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    rewrite(case, change)
    with pytest.raises(BadCase, match=words):
        open_case(case)


def test_layers_of_another_net(case: Path) -> None:
    layers = json.loads((case / "meta.json").read_text())["layers"]
    layers[3]["name"] = "pool_one"
    remeta(case, layers=layers)
    with pytest.raises(BadCase, match="has layer 'pool1' where Caffe recorded 'pool_one'"):
        open_case(case)


@pytest.mark.parametrize("layers", [None, {}, [1], [{"name": "x"}], [{"name": 1, "index": 0}], "layers"])
def test_meta_of_no_use(case: Path, layers: object) -> None:
    remeta(case, layers=layers)
    with pytest.raises(BadCase, match=r"meta\.json"):
        open_case(case)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"layers": ' + "[" * 100000, "\x00"])
def test_meta_that_is_no_json(case: Path, text: str) -> None:
    (case / "meta.json").write_text(text)
    with pytest.raises(BadCase, match=r"meta\.json"):
        open_case(case)


def test_nan_on_one_side_fails_with_its_place(case: Path) -> None:
    rewrite(case, lambda arrays: arrays["top/1/0"].__setitem__((0, 1, 2, 3), np.nan))
    for result in verify(open_case(case)):
        assert not result.passed
        assert result.culprit == "conv1"
        worst = next(one for one in result.comparisons if not one.passed)
        assert worst.index == (0, 1, 2, 3)
        assert np.isnan(worst.want)
        assert result.cause == "NaN or infinity on the side of Caffe only"


def test_a_top_of_another_shape_is_a_wrong_layer(case: Path) -> None:
    rewrite(case, lambda arrays: arrays.update({"top/3/0": arrays["top/3/0"][:, :, 1:]}))
    result = verify(open_case(case), ("module",))[0]
    assert not result.passed
    assert result.culprit == "pool1"
    assert "shape is (2, 8, 8, 8), Caffe has (2, 8, 7, 8)" in str(next(c for c in result.comparisons if not c.passed))


def test_missing_files(case: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCase, match="holds no golden case"):
        find_cases(tmp_path / "nowhere")
    for name in ("net.prototxt", "golden.npz", "meta.json"):
        (case / name).unlink()
        with pytest.raises(BadCase):
            open_case(case)

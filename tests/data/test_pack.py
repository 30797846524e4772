"""`pack`: what it holds, that it resumes, and that it notices what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffeport.data import LmdbSource, PackedPictures, Source, folder, image_list, open_source, pack
from caffeport.data.packed import INDEX, PICTURES
from caffeport.errors import CaffeportError, Problems, Refused, UnreadableFile
from caffeport.transform import Crop, Preprocessing, Resize

WritePictures = Any
PREP = Preprocessing(resize=Resize(6, 7), crop=Crop(4, 4, "ten"), mean_values=(1, 2, 3))
GOLDEN = Path(__file__).parents[2] / "golden/transforms"


@pytest.fixture
def source(tmp_path: Path, write_pictures: WritePictures) -> Source:
    names = write_pictures(*(f"in/{n:03d}.png" for n in range(150)))
    (tmp_path / "list.txt").write_text("".join(f"{name} {n / 150}\n" for n, name in enumerate(names)))
    return image_list(tmp_path / "list.txt", f"{tmp_path}/")


def same(packed: Source, source: Source, prep: Preprocessing) -> None:
    assert packed.keys == source.keys
    assert packed.labels() == source.labels()
    for one, other in zip(packed, source, strict=True):
        np.testing.assert_array_equal(one.inputs(prep), other.inputs(prep))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pack_gives_what_the_source_gives(tmp_path: Path, source: Source, workers: int) -> None:
    seen: list[tuple[int, int]] = []
    packed = pack(source, tmp_path / "out", PREP, workers, progress=lambda done, total: seen.append((done, total)))
    assert packed.array.shape == (150, 6, 7, 3)
    same(packed, source, PREP)
    packed.verify()
    assert seen[-1] == (150, 150)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [INDEX, PICTURES]
    assert not (tmp_path / "out.partial").exists()
    same(open_source(tmp_path / "out"), source, PREP)


def test_lmdb_into_a_pack(tmp_path: Path) -> None:
    source = LmdbSource(GOLDEN / "lmdb-encoded")
    prep = Preprocessing(colour="native", crop=Crop(30, 30))
    same(pack(source, tmp_path / "out", prep), source, prep)


def stop(done: int, total: int) -> None:
    raise KeyboardInterrupt


def test_a_stopped_run_goes_on(tmp_path: Path, source: Source) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack(source, tmp_path / "out", PREP, progress=stop)
    assert not (tmp_path / "out").exists()
    log = tmp_path / "out.partial/done.jsonl"
    log.write_text(log.read_text() + '{"chunk": 1, "sha')  # as a killed run may leave it
    with pytest.raises(Refused, match="other data or settings"):
        pack(source, tmp_path / "out", Preprocessing(resize=Resize(5, 5)))
    seen: list[int] = []
    same(pack(source, tmp_path / "out", PREP, progress=lambda done, _: seen.append(done)), source, PREP)
    assert seen == [128, 150]  # the first 64 were done


def test_a_stopped_run_whose_bytes_changed_does_them_again(tmp_path: Path, source: Source) -> None:
    with pytest.raises(KeyboardInterrupt):
        pack(source, tmp_path / "out", PREP, progress=stop)
    with open(tmp_path / "out.partial" / PICTURES, "r+b") as stream:
        stream.write(b"xyz")
    same(pack(source, tmp_path / "out", PREP), source, PREP)


def test_broken_pictures(tmp_path: Path, source: Source) -> None:
    (tmp_path / "in/007.png").write_bytes((tmp_path / "in/007.png").read_bytes()[:60])
    (tmp_path / "in/100.png").unlink()
    with pytest.raises(Problems, match=r"2 of 150 pictures cannot be packed(.|\n)*007.png(.|\n)*100.png"):
        pack(source, tmp_path / "out", PREP)
    assert not (tmp_path / "out").exists()
    packed = pack(source, tmp_path / "out", PREP, leave_out_broken=True)
    assert len(packed) == 148
    assert [entry["key"] for entry in packed.index.left_out] == ["in/007.png", "in/100.png"]
    np.testing.assert_array_equal(packed[99].inputs(PREP), source[101].inputs(PREP))
    assert packed[99].label == source[101].label


def test_refusals(tmp_path: Path, source: Source, write_pictures: WritePictures) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused, match="exists already"):
        pack(source, tmp_path / "out", PREP)
    with pytest.raises(Refused, match="pycaffe"):
        pack(source, tmp_path / "new", Preprocessing(resize=Resize(5, 5, "pycaffe")))
    with pytest.raises(Refused, match="read as they are"):
        pack(open_source(GOLDEN / "data.h5"), tmp_path / "new", Preprocessing())
    write_pictures("mixed/a.png")
    write_pictures("mixed/b.png", size=(3, 3))
    with pytest.raises(CaffeportError, match=r"one size for all|1 of 2"):
        pack(folder(tmp_path / "mixed"), tmp_path / "new", Preprocessing())


def test_a_pack_knows_how_it_was_made(tmp_path: Path, source: Source) -> None:
    packed = pack(source, tmp_path / "out", PREP)
    packed.check(Preprocessing(resize=Resize(6, 7), scale=0.5, order="RGB"))
    with pytest.raises(Refused, match="was packed with resize"):
        packed.check(Preprocessing(resize=Resize(6, 7, "pillow")))
    with open(tmp_path / "out" / PICTURES, "r+b") as stream:
        stream.seek(70 * 6 * 7 * 3)
        stream.write(b"\xff\0\xff\0")
    with pytest.raises(UnreadableFile, match="rows 64 to 127 have changed"):
        PackedPictures(tmp_path / "out").verify()


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [150, 6, 7]},
        {"shape": [10**6, 6, 7, 3]},
        {"rows": [150] * 150},
        {"rows": [-1] * 150},
        {"rows": [True] * 150},
        {"keys": [1] * 150},
        {"labels": ["x"] * 150},
        {"labels": []},
        {"chunk": 0},
        {"format": "other"},
        {"more": 1},
    ],
)
def test_an_index_that_lies(tmp_path: Path, source: Source, change: dict[str, Any]) -> None:
    pack(source, tmp_path / "out", PREP)
    path = tmp_path / "out" / INDEX
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UnreadableFile):
        PackedPictures(tmp_path / "out")

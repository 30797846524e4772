"""Lists and tables of pictures: LaMem, MemCat, any CSV, ImageData lists, folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffeport.data import (
    PictureFiles,
    Source,
    batches,
    check_disjoint,
    csv_table,
    folder,
    image_list,
    lamem,
    lamem_splits,
    memcat,
    open_source,
)
from caffeport.errors import CaffeportError, Problems, Refused, UnreadableFile
from caffeport.transform import Preprocessing, Resize

WritePictures = Any


def test_image_list(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures("a.png", "b c.png")
    (tmp_path / "list.txt").write_text("\ufeffa.png 0.25\nb c.png 1\n\n", "utf-8")
    source = image_list(tmp_path / "list.txt", f"{tmp_path}/")
    assert (source.keys, source.labels()) == (["a.png", "b c.png"], [0.25, 1.0])
    assert open_source(tmp_path / "list.txt").labels() == [0.25, 1.0]
    with pytest.raises(Refused, match=r"list.txt:1: label is '0.25'; Caffe reads whole numbers"):
        image_list(tmp_path / "list.txt", f"{tmp_path}/", integers=True)
    (tmp_path / "names.txt").write_text("a.png\n")
    assert open_source(tmp_path / "names.txt").labels() == [None]


def test_all_that_is_wrong_at_once(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures("a.png")
    (tmp_path / "list.txt").write_text("a.png 0.5\na.png 87.5\ngone.png 0.1\n")
    with pytest.raises(Problems) as caught:
        image_list(tmp_path / "list.txt", f"{tmp_path}/", score_range=(0, 1))
    text = str(caught.value)
    for part in ("1 scores out of range", "87.5", "1 names come twice", "1 of 3 pictures are missing", "gone.png"):
        assert part in text


@pytest.mark.parametrize("line", ["a.png nan", "a.png x", "a.png inf"])
def test_scores_that_are_no_numbers(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(Refused, match=r"list.txt:1: the score is"):
        image_list(tmp_path / "list.txt")


def lamem_folder(tmp_path: Path, **splits: str) -> Path:
    (tmp_path / "splits").mkdir()
    for name, lines in splits.items():
        (tmp_path / f"splits/{name}.txt").write_text(lines)
    return tmp_path


def test_lamem(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures(*(f"images/0000000{n}.jpg" for n in range(4)))
    root = lamem_folder(
        tmp_path,
        train_1="00000000.jpg 0.5\nimages/00000001.jpg 0.75\n",
        val_1="00000002.jpg 1.0\n",
        test_1="00000003.jpg 0\n",
        test_2="00000003.jpg 1.5\n",
        val_2="00000002.jpg\n",
    )
    splits = lamem_splits(root)
    assert splits["train"].keys == ["00000000.jpg", "00000001.jpg"]
    assert splits["train"].labels() == [0.5, 0.75]
    assert splits["val"][0].picture(Preprocessing()).shape == (9, 11, 3)
    assert open_source(root, split="test_1").keys == ["00000003.jpg"]
    with pytest.raises(Refused, match=r"out of range.*percentages"):
        lamem(root, "test_2")
    with pytest.raises(UnreadableFile, match=r"val_2.txt:1"):
        lamem(root, "val_2")
    for split in ("test_9", "../../etc/passwd", "rest_1"):
        with pytest.raises(Refused, match="test_1, test_2, train_1"):
            lamem(root, split)
    with pytest.raises(Refused, match="name a split"):
        open_source(root)


def test_splits_that_overlap(tmp_path: Path) -> None:
    root = lamem_folder(tmp_path, train_1="a.jpg 0.5\nb.jpg 0.5\n", val_1="b.jpg 0.5\n", test_1="c.jpg 0.5\n")
    with pytest.raises(Refused, match=r"'train' and 'val' share 1 pictures \('b.jpg'\)"):
        lamem_splits(root, check_files=False)
    one: dict[str, Source] = {name: lamem(root, f"{name}_1", check_files=False) for name in ("train", "test")}
    check_disjoint(one)


MEMCAT = "image_file,memorability_w_fa_correction,category,memorability_wo_fa_correction,subcategory\n"


@pytest.mark.parametrize("place", ["", "MemCat/", "MemCat/images/"])
def test_memcat(tmp_path: Path, write_pictures: WritePictures, place: str) -> None:
    write_pictures(f"{place}animal/bear/x.jpg", f"{place}food/bread/x.jpg")
    (tmp_path / "memcat_image_data.csv").write_text(f"{MEMCAT}x.jpg,0.5,animal,0.6,bear\nx.jpg,0.25,food,0.3,bread\n")
    source = memcat(tmp_path)
    assert source.keys == ["animal/bear/x.jpg", "food/bread/x.jpg"]
    assert source.labels() == [0.5, 0.25]
    assert memcat(tmp_path, score="memorability_wo_fa_correction", categories=["food"]).labels() == [0.3]
    assert open_source(tmp_path).keys == open_source(tmp_path / "memcat_image_data.csv").keys == source.keys
    with pytest.raises(Refused, match="no column 'score'"):
        memcat(tmp_path, score="score")
    with pytest.raises(Refused, match="lists no pictures"):
        memcat(tmp_path, categories=["toys"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv(tmp_path: Path, write_pictures: WritePictures, delimiter: str) -> None:
    write_pictures("a.png", "b.png")
    rows = ["file name", "x", "score"], ['"a.png"', "1", "0.5"], ["b.png", "2", "0.7"]
    (tmp_path / "t.csv").write_text("\n".join(delimiter.join(row) for row in rows))
    source = open_source(tmp_path / "t.csv", picture="file name", score="score")
    assert (source.keys, source.labels()) == (["a.png", "b.png"], [0.5, 0.7])
    assert csv_table(tmp_path / "t.csv", picture="file name").labels() == [None, None]
    with pytest.raises(Refused, match="no column 'picture', 'y'; it has file name, x, score"):
        csv_table(tmp_path / "t.csv", picture="picture", score="y")
    with pytest.raises(Refused, match="name its columns"):
        open_source(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ["p,s\na.png", "", "p,s\n\0,1", "p,s\n" + '"' + "a" * 200_000 + '",1'])
def test_broken_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(CaffeportError):
        csv_table(tmp_path / "t.csv", picture="p", score="s")


def test_folder(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures("b/2.png", "a.JPG")
    (tmp_path / "notes.txt").write_text("x")
    assert folder(tmp_path).keys == open_source(tmp_path).keys == ["a.JPG", "b/2.png"]
    with pytest.raises(UnreadableFile, match="does not exist"):
        open_source(tmp_path / "none")
    (tmp_path / "latin.txt").write_bytes(b"\xe9.png 1")
    with pytest.raises(UnreadableFile, match="UTF-8"):
        open_source(tmp_path / "latin.txt")


def test_batches_wrap_and_refuse_a_mixture_of_sizes(tmp_path: Path, write_pictures: WritePictures) -> None:
    write_pictures("a.png", "b.png")
    write_pictures("c.png", size=(5, 4))
    source = folder(tmp_path)
    prep = Preprocessing(resize=Resize(6, 7))
    assert [data.shape[0] for data, _ in batches(source, prep, 2)] == [2, 1]
    made = [data for data, _ in batches(source, prep, 2, count=3)]
    np.testing.assert_array_equal(made[1][1], made[0][0])
    with pytest.raises(Refused, match=r"c.png: gives an input of .* in a batch of"):
        list(batches(source, Preprocessing(), 3))
    with pytest.raises(Refused):
        PictureFiles("none", [])

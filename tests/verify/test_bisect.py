"""The smallest failing piece: a case of its own that still fails, and passes once the port is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffeport.errors import Refused
from caffeport.verify.bisect import bisect
from caffeport.verify.case import open_case
from caffeport.verify.recorder import check_case
from caffeport.verify.run import verify

from .mutating import Mutation, recall, reread

BREAK_LRN = reread("LRN", alpha=0.5)
BREAK_CONVOLUTION = recall("Convolution", lambda given: {**given, "padding_mode": "reflect"})


@pytest.mark.parametrize(
    ("case", "broken", "layer"),
    [("formats/v2", BREAK_LRN, "norm1"), ("nets/squeezenet", BREAK_CONVOLUTION, "fire2/expand3x3")],
)
def test_piece_fails_alone_and_passes_mended(
    case: str, broken: Mutation, layer: str, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = golden / case
    with monkeypatch.context() as patch:
        broken(patch)
        opened = open_case(whole)
        piece = bisect(opened, verify(opened, ("module",)), tmp_path / "piece")
        assert (piece.layer, piece.fails) == (layer, True)
    cut = open_case(piece.folder)
    assert len(list(cut.graph.computing)) == 1
    assert all(result.passed for result in verify(cut))
    assert check_case(piece.folder).layers == 2
    assert sum(path.stat().st_size for path in piece.folder.iterdir()) < 3e6


def test_one_item_of_the_batch_is_enough(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BREAK_LRN(monkeypatch)
    case = open_case(golden / "formats" / "v2")
    piece = bisect(case, verify(case, ("module",)), tmp_path / "piece")
    assert open_case(piece.folder).inputs["pool1"].shape[0] == 1


def test_nothing_to_cut(golden: Path, tmp_path: Path) -> None:
    case = open_case(golden / "formats" / "v2")
    with pytest.raises(Refused, match="does not fail"):
        bisect(case, verify(case, ("module",)), tmp_path / "piece")

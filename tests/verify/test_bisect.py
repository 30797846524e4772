"""The smallest failing piece: a case of its own that still fails, and passes once the port is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from caffeport.errors import Refused
from caffeport.layers import registry
from caffeport.verify.bisect import bisect
from caffeport.verify.case import open_case
from caffeport.verify.recorder import check_case
from caffeport.verify.run import verify


def break_lrn(patch: pytest.MonkeyPatch) -> None:
    cls = registry()["LRN"]
    read = cls.read
    patch.setattr(cls, "read", classmethod(lambda _cls, f, at: replace(read(f, at), alpha=0.5)))


def break_convolution(patch: pytest.MonkeyPatch) -> None:
    cls = registry()["Convolution"]
    face = cls.torch

    def biasless(self: object, bottoms: object) -> object:
        call = face(self, bottoms)
        return replace(call, kwargs={**call.kwargs, "padding_mode": "reflect"})

    patch.setattr(cls, "torch", biasless)


@pytest.mark.parametrize(
    ("case", "broken", "layer"),
    [("formats/v2", break_lrn, "norm1"), ("nets/squeezenet", break_convolution, "fire2/expand3x3")],
)
def test_piece_fails_alone_and_passes_mended(
    case: str, broken: object, layer: str, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = golden / case
    with monkeypatch.context() as patch:
        broken(patch)  # type: ignore[operator]
        opened = open_case(whole)
        piece = bisect(opened, verify(opened, ("module",)), tmp_path / "piece")
        assert (piece.layer, piece.fails) == (layer, True)
    cut = open_case(piece.folder)
    assert len(list(cut.graph.computing)) == 1
    assert all(result.passed for result in verify(cut))
    assert check_case(piece.folder).layers == 2
    assert sum(path.stat().st_size for path in piece.folder.iterdir()) < 3e6


def test_one_item_of_the_batch_is_enough(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_lrn(monkeypatch)
    case = open_case(golden / "formats" / "v2")
    piece = bisect(case, verify(case, ("module",)), tmp_path / "piece")
    assert open_case(piece.folder).inputs["pool1"].shape[0] == 1


def test_nothing_to_cut(golden: Path, tmp_path: Path) -> None:
    case = open_case(golden / "formats" / "v2")
    with pytest.raises(Refused, match="does not fail"):
        bisect(case, verify(case, ("module",)), tmp_path / "piece")

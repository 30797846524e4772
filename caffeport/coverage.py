"""How many of many nets could be ported, and what is missing for the rest, most frequent first."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from caffeport.caffe.deploy import deploy, needs_deploy
from caffeport.caffe.net import build_net
from caffeport.caffe.text import MAX_BYTES, parse_text
from caffeport.caffe.tree import Message
from caffeport.errors import CaffeportError, Refused, UnknownLayer, UnreadableFile
from caffeport.graph import build
from caffeport.layers import Shape

#: What net definitions are called (py-faster-rcnn has test.pt).
SUFFIXES = (".prototxt", ".pt")
#: Told where a net does not state the shape of an input: a picture, or what detectors call their other inputs.
STAND_IN: Shape = (1, 3, 224, 224)
STAND_INS: dict[str, Shape] = {"im_info": (1, 3), "rois": (300, 5)}


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of many nets.

    Attributes:
        nets: how many there are.
        converted: how many build as they stand.
        told: how many build once the shape of an input is told, which the net alone does not state.
        refused: the reasons of the rest, net by net.
    """

    nets: int
    converted: int
    told: int
    refused: dict[str, tuple[str, ...]]

    def reasons(self) -> list[tuple[str, int]]:
        """Reasons with the number of nets that they keep back, most frequent first."""
        counted = Counter(reason for reasons in self.refused.values() for reason in reasons)
        return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))

    def as_json(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self) | {"reasons": self.reasons()}


def coverage(path: Path) -> Coverage:
    """Try every net in a folder (*.prototxt and *.pt, recursively) or in a tar archive.

    A net counts as converted when its graph builds with all shapes; a training net when its deploy net does. Where
    nothing but the shape of an input is missing, a usual one is told.

    Raises:
        UnreadableFile: no such folder or archive.
    """
    refused: dict[str, tuple[str, ...]] = {}
    converted = told = 0
    for name, data in _nets(path):
        reasons, shapes = _try(name, data)
        if reasons:
            refused[name] = reasons
        elif shapes:
            told += 1
        else:
            converted += 1
    return Coverage(converted + told + len(refused), converted, told, refused)


def _nets(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix in SUFFIXES and file.stat().st_size <= MAX_BYTES:
                yield str(file), file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                # Members are read, never extracted; a link or a device has no content to read.
                stream = archive.extractfile(member) if member.isfile() and member.size <= MAX_BYTES else None
                if stream is not None and member.name.endswith(SUFFIXES):
                    yield member.name, stream.read()
    except (OSError, tarfile.TarError) as error:
        raise UnreadableFile(str(path), f"is no folder and no tar archive ({error})", "either is possible") from None


def _try(name: str, data: bytes) -> tuple[tuple[str, ...], dict[str, Shape]]:
    """Why the net cannot be ported, each reason once, empty where it can; and the shapes that had to be told."""
    shapes: dict[str, Shape] = {}
    try:
        message = parse_text(data.decode("utf-8", "replace"), name)
        while (missing := _build(message, name, shapes)) is not None:
            shapes[missing] = STAND_INS.get(missing, STAND_IN)
    except CaffeportError as error:
        return tuple(dict.fromkeys(_reason(problem) for problem in error.problems)), shapes
    return (), shapes


def _build(message: Message, name: str, shapes: dict[str, Shape]) -> str | None:
    """Build the net's graph; returns the input whose shape is nowhere stated, where that is all that is missing."""
    try:
        net = build_net(message, name)
        build(deploy(message, shapes=shapes) if needs_deploy(net) else net)
    except Refused as error:
        asked = re.search(r"--input-shape (.*?)=", error.todo)
        if asked is None or asked[1] in shapes:
            raise
        return asked[1]
    return None


def _reason(problem: CaffeportError) -> str:
    """The problem less what is particular to one net: its names, its lines, its numbers."""
    kind = re.search(r"\((\w+)\)$", problem.where)
    if isinstance(problem, UnknownLayer):
        return f"layer type {kind[1] if kind else '?'}"
    what = re.sub(r"\(line \d+\)|'[^']*'|\"[^\"]*\"", "…", problem.what)
    what = re.sub(r"\d+", "#", what)[:100]
    return f"{kind[1]}: {what}" if kind else what

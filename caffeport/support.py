"""What is ported of each layer type: told by the layer classes themselves, never by a list beside them."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import Any

from caffeport.caffe.schema import Schema
from caffeport.graph.reading import span
from caffeport.layers import Layer, registry
from caffeport.layers.base import describe
from caffeport.layers.probe import asked


@dataclass(frozen=True, slots=True)
class Support:
    """One layer type.

    Attributes:
        type, aliases: its names in Caffe.
        fork: whose layer it is; mirrors: the file that defines it; about: what it computes, in one sentence.
        reads, ignores, refuses: fields of its own messages that change the port, that cannot, and that are refused
            when set (fields of the schema that nobody reads).
        onnx: ``yes``, ``some settings``, or ``no: reason``.
        bottoms, tops: how many it takes and gives.
    """

    type: str
    aliases: tuple[str, ...]
    fork: str
    mirrors: str
    about: str
    reads: tuple[str, ...]
    ignores: tuple[str, ...]
    refuses: tuple[str, ...]
    onnx: str
    bottoms: str
    tops: str

    def as_json(self) -> dict[str, Any]:
        """Plain types."""
        return asdict(self)


def support() -> list[Support]:
    """Every layer type: BVLC's first, then the forks', each in order of their names."""
    classes = {cls.type: cls for cls in registry().values()}
    made = [support_of(cls) for cls in classes.values()]
    return sorted(made, key=lambda one: (one.fork != "BVLC", one.fork if one.fork != "BVLC" else "", one.type))


def support_of(cls: type[Layer]) -> Support:
    """What is ported of one type."""
    notes = asked(cls)
    own = {name for name in notes.opened if "." not in name}
    known = {
        f"{outer}.{name}"
        for outer in own
        if (opened := Schema.load().field_type("LayerParameter", outer)) is not None
        for name in Schema.load().message(opened.type).by_name
    }
    inner = {name for name in notes.read - notes.opened if "." in name}
    refused = known - notes.read - notes.ignored - notes.opened
    return Support(
        cls.type,
        cls.aliases,
        cls.fork,
        cls.mirrors,
        describe(cls),
        tuple(sorted(inner)),
        tuple(sorted(name for name in notes.ignored if "." in name)),
        tuple(sorted(refused)),
        _onnx(cls),
        span(*cls.bottoms),
        span(*cls.tops),
    )


def _onnx(cls: type[Layer]) -> str:
    if cls.source:
        return "input"
    if cls.no_onnx:
        return f"no: {cls.no_onnx}"
    return "some settings" if "g.refuse(" in inspect.getsource(inspect.getmodule(cls) or cls) else "yes"

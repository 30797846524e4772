"""What is ported of each layer type: told by the layer classes themselves, never by a list beside them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.caffe.schema import Schema
from caffeport.errors import CaffeportError
from caffeport.layers import Layer, Site, registry
from caffeport.layers.base import MANY, describe


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
    notes = _asked(cls)
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
        _count(cls.bottoms),
        _count(cls.tops),
    )


def _count(allowed: tuple[int, int]) -> str:
    least, most = allowed
    return str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"


def _onnx(cls: type[Layer]) -> str:
    if cls.source:
        return "input"
    if cls.no_onnx:
        return f"no: {cls.no_onnx}"
    return "some settings" if "g.refuse(" in inspect.getsource(inspect.getmodule(cls) or cls) else "yes"


@dataclass(slots=True)
class _Notes:
    """Fields asked for, ignored, and opened as messages, by their whole path."""

    read: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)


def _asked(cls: type[Layer]) -> _Notes:
    """What `read` asks for over all the ways through it: each field that it asks about is set once, by itself."""
    notes = _Notes()
    tried: set[str] = set()
    while left := {"", *notes.read} - tried:
        present = left.pop()
        tried.add(present)
        for bottoms in range(cls.bottoms[0], min(cls.bottoms[1], cls.bottoms[0] + 2) + 1):
            for tops in range(cls.tops[0], min(cls.tops[1], cls.tops[0] + 2) + 1):
                # A probe's answers make no sense together: what was asked before a refusal counts all the same.
                with suppress(CaffeportError, ValueError, TypeError, IndexError, KeyError):
                    cls.read(_Probe("LayerParameter", "", present, notes), Site(bottoms, tops, "TEST"))
    return notes


class _Probe(Fields):
    """Fields that are asked, and write down what they are asked for; only `present` counts as set."""

    def __init__(self, schema_type: str, path: str, present: str, notes: _Notes) -> None:
        super().__init__(None, schema_type, "probe", path)
        self.present, self.notes = present, notes

    def has(self, name: str) -> bool:
        self.notes.read.add(f"{self.path}{name}")
        return self.present.startswith(f"{self.path}{name}")

    def count(self, name: str) -> int:
        return int(self.has(name))

    def sub(self, name: str, schema_type: str = "") -> Fields:
        self.notes.opened.add(f"{self.path}{name}")
        known = Schema.load().field_type(self.schema_type, name)
        inner = schema_type or (known.type if known else name)
        return _Probe(inner, f"{self.path}{name}.", self.present, self.notes)

    def subs(self, name: str, schema_type: str = "") -> tuple[Fields, ...]:
        return (self.sub(name, schema_type),)

    def ignore(self, *names: str) -> None:
        self.notes.ignored.update(f"{self.path}{name}" for name in names)

    def _one(self, name: str, default: object, convert: Callable[..., Any]) -> object:
        stubs = {"to_int": 1, "to_float": 0.5, "to_bool": True}
        if self.has(name) and convert.__name__ in stubs:
            return stubs[convert.__name__]
        try:
            return super()._one(name, default, convert)
        except CaffeportError:
            return stubs.get(convert.__name__, "")

    def _many(self, name: str, convert: Callable[..., Any]) -> tuple[Any, ...]:
        return (1,) if self.has(name) and convert.__name__ in ("to_int", "to_float") else ()

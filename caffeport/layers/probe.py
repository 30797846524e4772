"""What a layer type asks of its fields, found by asking it: nothing is listed beside the code that reads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.caffe.schema import Schema
from caffeport.errors import CaffeportError
from caffeport.layers.base import Layer, Site


@dataclass(slots=True)
class Asked:
    """Fields asked for, ignored, and opened as messages, by their whole path."""

    read: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)


@cache
def asked(cls: type[Layer]) -> Asked:
    """What a layer type's `read` asks for over all the ways through it: each field asked about is set once, alone."""
    notes = Asked()
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

    def __init__(self, schema_type: str, path: str, present: str, notes: Asked) -> None:
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

"""Read or refuse: typed access to a message's fields that remembers what was read.

A getter takes a field's name and gives its value, or the schema's default, or a `Refused` that names the field, what it
says and the line. `Fields.unread` lists every field that is set but that nobody read or ignored: a setting that the
conversion would otherwise drop without a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, TypeVar, cast

from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.tree import Field, Item, Message, Token, Where
from caffeport.errors import Refused

T = TypeVar("T")


class _Missing:
    """The default of a getter whose caller gave none: the schema's, and where that has none either, Refused."""


_MISSING: Final = _Missing()

_INT = re.compile(r"(-?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]+)|(\d+))")
_FLOAT = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|0+\d*\.\d*|0+\d*(?=[eE])|\.\d+)(?:[eE][+-]?\d+)?[fF]?|-?(?:inf|infinity|nan)f?")
_BOOLS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}


def merge(messages: tuple[Message, ...]) -> Message | None:
    """One message out of several parts of the same field, as protobuf joins them: fields in order. None for none."""
    if len(messages) < 2:
        return messages[0] if messages else None
    return Message(tuple(field for message in messages for field in message.fields), messages[0].where)


class Fields:
    """A message with typed getters that remember.

    Args:
        message: what the file says; None where the field is absent (every getter then gives its default).
        schema_type: the message's name in ``caffe.proto``, for defaults and enums; an unknown name is fine.
        label: how errors begin: ``net.prototxt:12: layer 'norm1' (LRN)``.
    """

    def __init__(self, message: Message | None, schema_type: str, label: str) -> None:
        self.message, self.schema_type, self.label = message, schema_type, label
        self._by_name: dict[str, list[Field]] = {}
        for field in message.fields if message else ():
            self._by_name.setdefault(field.name, []).append(field)
        self._done: set[str] = set()
        self._opened: dict[str, tuple[Fields, ...]] = {}

    def __repr__(self) -> str:
        return f"Fields({self.schema_type}, {self.label!r}, set={sorted(self._by_name)})"

    # ---- what is set -----------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether the file sets the field; asking does not count as reading it."""
        return name in self._by_name

    def names(self) -> tuple[str, ...]:
        """The fields that the file sets, in file order."""
        return tuple(self._by_name)

    def count(self, name: str) -> int:
        """How many values the file gives the field; asking does not count as reading it."""
        return len(self._by_name.get(name, ()))

    # ---- one value -------------------------------------------------------------------------------------------------

    def int(self, name: str, default: int | _Missing = _MISSING) -> int:
        """An integer within the range of the schema's type (int64 where no schema knows the field)."""
        return self._one(name, default, self._as_int)

    def float(self, name: str, default: float | _Missing = _MISSING) -> float:
        """A number; integers, ``1.``, ``.5``, ``1f``, ``inf`` and ``nan`` are numbers too."""
        return self._one(name, default, self._as_float)

    def bool(self, name: str, default: bool | _Missing = _MISSING) -> bool:
        """``true`` or ``false``, and the other spellings that protobuf takes."""
        return self._one(name, default, self._as_bool)

    def str(self, name: str, default: str | _Missing = _MISSING) -> str:
        """A quoted string."""
        return self._one(name, default, self._as_str)

    def enum(self, name: str, default: str | _Missing = _MISSING) -> str:
        """The name of an enum's value, whether the file says the name or the number."""
        return self._one(name, default, self._as_enum)

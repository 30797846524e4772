"""Read or refuse: typed access to a message's fields that remembers what was read.

A getter takes a field's name and gives its value, or the schema's default, or raises a `Refused` that names the field,
what it says and its line. `Fields.unread` lists every field that is set but that nobody read or ignored: a setting that
a conversion would otherwise drop without a word.
"""

from __future__ import annotations

import builtins as py
from collections.abc import Callable
from typing import Final, TypeVar, overload

from caffeport.caffe import scalars
from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.tree import Field, Item, Message, Token
from caffeport.errors import Refused

T = TypeVar("T")
D = TypeVar("D")
Convert = Callable[[Item, FieldType | None], T]


class _Missing:
    """Stands for the schema's default; where the schema has none either, the getter refuses."""


_MISSING: Final = _Missing()


def merge(*messages: Message) -> Message | None:
    """Several parts of one message field, joined as protobuf joins them: their fields in order. None out of none."""
    if len(messages) < 2:
        return messages[0] if messages else None
    return Message(tuple(field for message in messages for field in message.fields), messages[0].where)


class Fields:
    """A message with typed getters that remember.

    Args:
        message: what the file says; None where it says nothing (every getter then gives its default).
        schema_type: the message's name in ``caffe.proto``, for defaults, ranges and enums; an unknown name is fine.
        label: how errors begin: ``net.prototxt:12: layer 'norm1' (LRN)``.
        path: the names of the messages around this one, as `unread` prints them: ``transform_param.``.
    """

    def __init__(self, message: Message | None, schema_type: py.str, label: py.str, path: py.str = "") -> None:
        self.message, self.schema_type, self.label, self.path = message, schema_type, label, path
        self._set: dict[py.str, list[Field]] = {}
        for field in message.fields if message else ():
            self._set.setdefault(field.name, []).append(field)
        self._done: set[py.str] = set()
        self._opened: dict[py.str, tuple[Fields, ...]] = {}

    def __repr__(self) -> py.str:
        return f"Fields({self.schema_type}, {self.label!r}, set={list(self._set)})"

    # What is set. Asking does not count as reading.

    def has(self, name: py.str) -> py.bool:
        """Whether the file sets the field."""
        return name in self._set

    def count(self, name: py.str) -> py.int:
        """How many values the file gives the field."""
        return len(self._set.get(name, ()))

    def names(self) -> tuple[py.str, ...]:
        """The fields that the file sets, in file order."""
        return tuple(self._set)

    # One value: what the file says, else the caller's default, else the schema's, else Refused.

    @overload
    def int(self, name: py.str) -> py.int: ...
    @overload
    def int(self, name: py.str, default: D) -> py.int | D: ...
    def int(self, name: py.str, default: object = _MISSING) -> object:
        """An integer in the range of its schema type (of int64 where no schema knows the field)."""
        return self._one(name, default, scalars.to_int)

    @overload
    def float(self, name: py.str) -> py.float: ...
    @overload
    def float(self, name: py.str, default: D) -> py.float | D: ...
    def float(self, name: py.str, default: object = _MISSING) -> object:
        """A number: ``1``, ``1.``, ``.5``, ``1f``, ``inf`` or ``nan``."""
        return self._one(name, default, scalars.to_float)

    @overload
    def bool(self, name: py.str) -> py.bool: ...
    @overload
    def bool(self, name: py.str, default: D) -> py.bool | D: ...
    def bool(self, name: py.str, default: object = _MISSING) -> object:
        """``true`` or ``false``, in any spelling that protobuf takes."""
        return self._one(name, default, scalars.to_bool)

    @overload
    def str(self, name: py.str) -> py.str: ...
    @overload
    def str(self, name: py.str, default: D) -> py.str | D: ...
    def str(self, name: py.str, default: object = _MISSING) -> object:
        """A string; in text it must be quoted."""
        return self._one(name, default, scalars.to_str)

    @overload
    def enum(self, name: py.str) -> py.str: ...
    @overload
    def enum(self, name: py.str, default: D) -> py.str | D: ...
    def enum(self, name: py.str, default: object = _MISSING) -> object:
        """The name of an enum's value, whether the file gives the name or the number."""
        return self._one(name, default, scalars.to_enum)

    # All values of a repeated field; empty where the file gives none.

    def ints(self, name: py.str) -> tuple[py.int, ...]:
        """Every integer of a repeated field."""
        return self._many(name, scalars.to_int)

    def floats(self, name: py.str) -> tuple[py.float, ...]:
        """Every number of a repeated field."""
        return self._many(name, scalars.to_float)

    def bools(self, name: py.str) -> tuple[py.bool, ...]:
        """Every truth value of a repeated field."""
        return self._many(name, scalars.to_bool)

    def strs(self, name: py.str) -> tuple[py.str, ...]:
        """Every string of a repeated field."""
        return self._many(name, scalars.to_str)

    def enums(self, name: py.str) -> tuple[py.str, ...]:
        """The names of every value of a repeated enum field."""
        return self._many(name, scalars.to_enum)

    # Messages inside.

    def sub(self, name: py.str, schema_type: py.str = "") -> Fields:
        """The message of that name; an empty one, which still gives defaults, where the file has none.

        `schema_type` overrides the schema's, for a field that forks give different messages.
        """
        if name not in self._opened:
            whole = merge(*(self._as_message(field) for field in self._singular(name)))
            self._opened[name] = (self._inside(name, whole, schema_type),)
        return self._opened[name][0]

    def subs(self, name: py.str, schema_type: py.str = "") -> tuple[Fields, ...]:
        """Every message of a repeated field."""
        if name not in self._opened:
            messages = [self._as_message(field) for field in self._set.get(name, [])]
            self._opened[name] = tuple(self._inside(name, message, schema_type) for message in messages)
        return self._opened[name]

    # What is left over.

    def ignore(self, *names: py.str) -> None:
        """Mark fields as seen and without effect on what is converted."""
        self._done.update(names)

    def refuse(self, name: py.str, what: py.str, allowed: py.str, todo: py.str = "") -> Refused:
        """The error to raise about a field's value: ``refuse("local_size", "is 4", "Caffe allows odd sizes only")``."""
        return Refused(self.label, what if what.startswith(name) else f"{name} {what}", allowed, todo)

    def unread(self) -> list[Refused]:
        """One error for each field that is set but was neither read nor ignored, messages that were opened included."""
        left: list[Refused] = []
        for name, fields in self._set.items():
            if name in self._opened:
                left += [error for inside in self._opened[name] for error in inside.unread()]
            elif name not in self._done:
                allowed = "nothing here reads this field, so a conversion would drop it"
                left.append(Refused(self.label, self._says(fields[0]), allowed, "remove it if it has no effect"))
        return left

    # Inner workings.

    def _inside(self, name: py.str, message: Message | None, schema_type: py.str) -> Fields:
        known = self._type(name)
        return Fields(message, schema_type or (known.type if known else name), self.label, f"{self.path}{name}.")

    def _type(self, name: py.str) -> FieldType | None:
        return Schema.load().field_type(self.schema_type, name)

    def _singular(self, name: py.str) -> list[Field]:
        """As Caffe: text that gives a field twice is refused; of a binary file's values the last one holds."""
        fields = self._set.get(name, [])
        if len(fields) > 1 and fields[0].where.line is not None:
            lines = f"lines {fields[0].where.line} and {fields[1].where.line}"
            what = f"{self.path}{name} is given twice, in {lines}"
            raise Refused(self.label, what, "Caffe takes it once only", "remove one of them")
        return fields

    def _one(self, name: py.str, default: object, convert: Convert[T]) -> object:
        self._done.add(name)
        fields = self._singular(name)
        if fields:
            return self._convert(fields[-1], convert)
        if not isinstance(default, _Missing):
            return default
        known = self._type(name)
        if known is None or known.default is None:
            raise Refused(self.label, f"{self.path}{name} is missing", "it has no default")
        return convert(Token(known.default, quoted=known.type == "string"), known)

    def _many(self, name: py.str, convert: Convert[T]) -> tuple[T, ...]:
        self._done.add(name)
        return tuple(self._convert(field, convert) for field in self._set.get(name, ()))

    def _convert(self, field: Field, convert: Convert[T]) -> T:
        try:
            return convert(field.value, self._type(field.name))
        except ValueError as error:
            raise Refused(self.label, self._says(field), str(error)) from None

    def _says(self, field: Field) -> py.str:
        value = "a message" if isinstance(field.value, Message) else scalars.shown(field.value)
        line = "" if field.where.line is None else f" (line {field.where.line})"
        return f"{self.path}{field.name} is {value}{line}"

    def _as_message(self, field: Field) -> Message:
        if not isinstance(field.value, Message):
            raise Refused(self.label, self._says(field), "a message in braces is expected")
        return field.value

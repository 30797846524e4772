"""What a Caffe file says, before anyone decides what it means: a tree of names and values.

The text reader and the binary reader both give this tree; `fields.Fields` gives typed access to it later.
Nothing that a file holds is dropped on the way: a field that no schema knows is kept under its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias, Union


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file: its line (text, from 1) or its byte offset (binary, from 0)."""

    file: str
    line: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        if self.line is not None:
            return f"{self.file}:{self.line}"
        return self.file if self.offset is None else f"{self.file}: byte {self.offset}"


@dataclass(frozen=True, slots=True)
class Token:
    """A scalar of a text file as it was written: a quoted string (unescaped), or a bare word or number."""

    text: str
    quoted: bool = False


Scalar: TypeAlias = Token | int | float | bool | str | bytes
Item: TypeAlias = Union[Scalar, "Message"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field as met. `name` is ``#147`` where no schema names the number."""

    name: str
    value: Item
    where: Where


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of one message, in file order."""

    fields: tuple[Field, ...]
    where: Where

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name, in file order."""
        return tuple(field for field in self.fields if field.name == name)

    def messages(self, name: str) -> Iterator[Message]:
        """The values of that name that are messages themselves."""
        return (field.value for field in self.fields if field.name == name and isinstance(field.value, Message))

    def without(self, *names: str) -> Message:
        """The same message less the fields of those names."""
        return replace(self, fields=tuple(field for field in self.fields if field.name not in names))

    def plus(self, *fields: Field) -> Message:
        """The same message with more fields at its end."""
        return replace(self, fields=self.fields + fields)

    def changed(self, name: str, change: Callable[[Message], Message]) -> Message:
        """The same message with each message of that name in it changed."""
        fields = (
            replace(field, value=change(field.value))
            if field.name == name and isinstance(field.value, Message)
            else field
            for field in self.fields
        )
        return replace(self, fields=tuple(fields))

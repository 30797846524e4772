"""A tree -> prototxt: readable, and read back as the same tree.

Binary files are written by `encode`; its entry points are here too.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from typing import Final

from caffeport.caffe.encode import write_binary, write_mean, write_solverstate
from caffeport.caffe.scalars import as_float32, shortest
from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.tree import Field, Message, Scalar, Token
from caffeport.errors import Refused
from caffeport.files import replacing

__all__ = ["net_text", "write_binary", "write_mean", "write_solverstate", "write_text"]

_NAME: Final = re.compile(r"[A-Za-z_]\w*|\[[\w./-]+\]", re.ASCII)
_WORD: Final = re.compile(r"-?(?:[A-Za-z_]\w*|(?:\d|\.\d)[\w.]*(?:(?<=[eE])[+-]\d+)?[fF]?)", re.ASCII)
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SPECIAL: Final = re.compile(r'[\\"\x00-\x1f\x7f\ud800-\udfff]')


def net_text(message: Message, schema_type: str = "NetParameter") -> str:
    """The message as prototxt, two spaces a level; arrays of blobs are left out.

    Numbers of enums that the schema knows are written by name. Raises Refused for a field without a name (`#147`),
    which text cannot say.
    """
    return "".join(f"{line}\n" for line in _lines(message, schema_type, ""))


def write_text(message: Message, path: str | os.PathLike[str], schema_type: str = "NetParameter") -> None:
    """Write the message as prototxt; the file appears when it is complete."""
    text = net_text(message, schema_type)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _lines(message: Message, schema_type: str, indent: str) -> Iterator[str]:
    schema = Schema.load()
    for field in message.fields:
        if field.name == "blobs":
            continue
        if not _NAME.fullmatch(field.name):
            raise Refused(str(field.where), f"field {field.name} has no name in the schema", todo="text cannot hold it")
        known = schema.field_type(schema_type, field.name)
        if isinstance(field.value, Message):
            yield f"{indent}{field.name} {{"
            yield from _lines(field.value, known.type if known else "", indent + "  ")
            yield indent + "}"
        else:
            yield f"{indent}{field.name}: {_scalar(field, known)}"


def _scalar(field: Field, known: FieldType | None) -> str:
    """The value as text that reads back as the same value."""
    value: Scalar | Message = field.value
    if isinstance(value, Token):
        if value.quoted:
            return _quoted(value.text)
        if not _WORD.fullmatch(value.text):
            raise Refused(str(field.where), f"{field.name} is {value.text!r}, which is no word and no number")
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        names = Schema.load().enums.get(known.type, {}) if known else {}
        return next((name for name, number in names.items() if number == value), str(value))
    if isinstance(value, float):
        return short_float(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bytes):
        return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'\\"' else f"\\{b:03o}" for b in value) + '"'
    raise Refused(str(field.where), f"{field.name} is a message where a value is needed")


def _quoted(text: str) -> str:
    return '"' + _SPECIAL.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    return _ESCAPES.get(char) or "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogatepass"))


def short_float(value: float) -> str:
    """The shortest decimal that is the same float32, or the same float64 where the value is no float32."""
    if math.isnan(value) or math.isinf(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    # Nine digits tell every float32 from its neighbours; the shortest form has as many or fewer.
    return f"{shortest(value):.9g}" if as_float32(value) == value else repr(value)

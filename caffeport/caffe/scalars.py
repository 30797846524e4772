"""A field's value as a Python value of its schema type, from text (a `Token`) or from a binary file.

Every function takes the value and what the schema says of the field (None where no schema knows it), and raises
ValueError saying what was expected.
"""

from __future__ import annotations

import math
import re
import struct

from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.tree import Item, Token

_INT = re.compile(r"(-?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]+)|([1-9]\d*|0))", re.ASCII)
_FLOAT = re.compile(r"-?(?!0\d+[fF]?\Z)(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?=[fF]?\Z)", re.ASCII)
_SPECIAL = re.compile(r"-?(?:infinity|inf|nan)(?=f?\Z)", re.ASCII | re.IGNORECASE)
_BOOLS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_RANGES = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1)}
_INT64 = (-(2**63), 2**63 - 1)
_LONGEST_INT = 40


def to_int(value: Item, known: FieldType | None = None) -> int:
    """An integer in the range of its type (int64 for unknown fields); text may be decimal, octal or hexadecimal."""
    number = _text_int(value) if isinstance(value, Token) else value
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError("an integer is expected")
    low, high = _RANGES.get(known.type, _INT64) if known else _INT64
    if not low <= number <= high:
        raise ValueError(f"{low} to {high} is allowed")
    return number


def to_float(value: Item, known: FieldType | None = None) -> float:
    """A number. One that a binary file holds as float32 comes back as text would have it: 0.1, not 0.10000000149."""
    if isinstance(value, Token) and not value.quoted:
        match = _FLOAT.match(value.text) or _SPECIAL.match(value.text)
        if match:
            return float(match[0])
    if isinstance(value, float):
        return value if known and known.type == "double" else shortest(value)
    raise ValueError("a number is expected")


def to_bool(value: Item, known: FieldType | None = None) -> bool:
    """A truth value in any spelling that protobuf takes."""
    if isinstance(value, Token) and not value.quoted and value.text in _BOOLS:
        return _BOOLS[value.text]
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise ValueError("true or false is expected")


def to_str(value: Item, known: FieldType | None = None) -> str:
    """A string; in text it must be quoted."""
    if isinstance(value, Token) and value.quoted:
        return value.text
    if isinstance(value, str):
        return value
    raise ValueError("a string in quotes is expected")


def to_enum(value: Item, known: FieldType | None = None) -> str:
    """The name of an enum's value, given by name or number; any name where no schema knows the enum."""
    values = Schema.load().enums.get(known.type) if known else None
    if isinstance(value, Token) and not value.quoted:
        number = _text_int(value)
        if number is None and (values is None or value.text in values):
            return value.text
        value = value if number is None else number
    if values is None:
        raise ValueError("a name is expected")
    for name, number in values.items():
        if isinstance(value, int) and number == value:
            return name
    raise ValueError(f"one of {', '.join(values)} is allowed")


def shown(value: Item, longest: int = 60) -> str:
    """A value as an error prints it."""
    if isinstance(value, Token):
        text = repr(value.text[: longest + 1]) if value.quoted else value.text
    else:
        text = repr(value[: longest + 1] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= longest else f"{text[:longest]}..."


def _text_int(token: Token) -> int | None:
    match = None if token.quoted or len(token.text) > _LONGEST_INT else _INT.fullmatch(token.text)
    if match is None:
        return None
    sign, hexadecimal, octal, decimal = match.groups()
    number = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
    return -number if sign else number


def shortest(value: float) -> float:
    """The number with the fewest digits that is the same float32; one that is no float32 stays as it is."""
    if not math.isfinite(value) or as_float32(value) != value:
        return value
    candidates = (float(f"{value:.{digits}g}") for digits in range(6, 10))
    return next((short for short in candidates if as_float32(short) == value), value)


def as_float32(value: float) -> float | None:
    """The float32 next to a number; None beyond the largest."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return None

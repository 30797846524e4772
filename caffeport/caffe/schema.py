"""Field names, numbers, types and defaults, read from ``proto/caffe.proto`` as data.

No code is generated and nothing enters protobuf's default pool, so the real ``caffe`` may live in the same process.
A message named ``<Message>_<fork>`` lists what a fork adds to ``<Message>``. By name, all forks are merged: text says
which field it means. By number they are not, because forks reuse numbers: `Schema.layer_field` asks the layer type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from caffeport.errors import UnreadableFile

SCALARS = frozenset({"int32", "int64", "uint32", "uint64", "float", "double", "bool", "string", "bytes"})

# Layer types whose parameter field is not simply their own name in snake case.
_OWN_NAMES = {
    "Normalize": "norm",
    "ConvolutionDepthwise": "convolution",
    "DepthwiseConvolution": "convolution",
}

_SKIP = r"(?:\s++|//[^\n]*+)*+"
_OPTIONS = r"""\[(?P<options>(?:"[^"\n]*+"|[^\]"]++)*+)\]"""
_STATEMENT = re.compile(
    rf"""{_SKIP}(?:
        (?P<label>optional|required|repeated)\s++(?P<type>[\w.]++)\s++(?P<field>\w++)
            \s*+=\s*+(?P<number>\d++)\s*+(?:{_OPTIONS}\s*+)?+;
      | (?P<open>message|enum)\s++(?P<block>\w++)\s*+\{{
      | (?P<value>\w++)\s*+=\s*+(?P<ordinal>-?\d++)\s*+;
      | (?P<close>\}})
      | (?:syntax\s*+=\s*+"proto2"|package\s++[\w.]++)\s*+;
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_OPTION = re.compile(r"""(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))""")


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field as the schema declares it.

    `type` is a scalar's name or the full name of a message or enum (``PoolingParameter.PoolMethod``); `default` is the
    text in the schema, None where it states none; `fork` names the fork that adds the field, None for BVLC's own.
    """

    name: str
    number: int
    type: str
    repeated: bool = False
    packed: bool = False
    default: str | None = None
    fork: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class MessageType:
    """A message: its fields by name (forks merged, BVLC first) and by number (BVLC's, then what forks agree on)."""

    name: str
    by_name: Mapping[str, FieldType]
    by_number: Mapping[int, FieldType]


@dataclass(frozen=True, slots=True)
class Schema:
    """Every message and enum of ``caffe.proto``, with full names less the package (``PoolingParameter.PoolMethod``)."""

    messages: Mapping[str, MessageType]
    enums: Mapping[str, Mapping[str, int]]
    _layer_fields: Mapping[int, tuple[FieldType, ...]] = field(repr=False)

    @staticmethod
    def load() -> Schema:
        """The schema that came with the package; read once per process."""
        return _load()

    def message(self, name: str) -> MessageType:
        """The message of that full name; KeyError where there is none."""
        return self.messages[name]

    def enum(self, name: str) -> Mapping[str, int]:
        """Names and numbers of an enum, by its full name; KeyError where there is none."""
        return self.enums[name]

    def kind(self, type_name: str) -> str:
        """What a `FieldType.type` is: ``message``, ``enum`` or ``scalar``."""
        return "message" if type_name in self.messages else "enum" if type_name in self.enums else "scalar"

    def field_type(self, message: str, name: str) -> FieldType | None:
        """The field of that name, or None where the message or the field is unknown."""
        known = self.messages.get(message)
        return known.by_name.get(name) if known else None

    def layer_field(self, number: int, layer_type: str) -> FieldType | None:
        """What a field number of a binary LayerParameter means in a layer of that type; None where nobody knows.

        A fork's field wins where its name fits the layer type: numbers that BVLC gave away later were in use before.
        Otherwise BVLC's meaning holds, and a number that only forks use is believed where they all agree.
        """
        candidates = self._layer_fields.get(number, ())
        wanted = _OWN_NAMES.get(layer_type, layer_type).replace("_", "").lower()
        for candidate in candidates:
            if candidate.name.removesuffix("_param").replace("_", "") == wanted:
                return candidate
        return self.messages["LayerParameter"].by_number.get(number)


@cache
def _load() -> Schema:
    here = Path(__file__).resolve()
    for path in (here.with_name("caffe.proto"), here.parents[2] / "proto" / "caffe.proto"):
        if path.is_file():
            return parse_schema(path.read_text(encoding="utf-8"), str(path))
    where = str(here.with_name("caffe.proto"))
    raise UnreadableFile(where, "the schema is missing", "it comes with the package", "install caffeport again")


def parse_schema(text: str, file: str = "caffe.proto") -> Schema:
    """Read proto2 text: messages, enums, fields with ``default`` and ``packed``. Raises UnreadableFile on more."""
    raw: dict[str, list[FieldType]] = {}
    enums: dict[str, dict[str, int]] = {}
    scope: list[str] = []
    for match in _statements(text, file):
        name = ".".join(scope)
        if match["open"]:
            scope.append(match["block"])
            if match["open"] == "message":
                raw[".".join(scope)] = []
            else:
                enums[".".join(scope)] = {}
        elif match["close"] and scope:
            scope.pop()
        elif match["field"] and name in raw:
            raw[name].append(_field(match))
        elif match["value"] and name in enums:
            enums[name][match["value"]] = int(match["ordinal"])
        elif match["close"] or match["field"] or match["value"]:
            raise _broken(text, match.start(), file)
    if scope:
        raise UnreadableFile(file, f"{scope[-1]} is not closed")
    return _schema(raw, enums)


def _statements(text: str, file: str) -> Iterator[re.Match[str]]:
    at = 0
    while True:
        match = _STATEMENT.match(text, at)
        if match is None:
            raise _broken(text, at, file)
        if match["end"] is not None:
            return
        yield match
        at = match.end()


def _broken(text: str, at: int, file: str) -> UnreadableFile:
    return UnreadableFile(f"{file}:{text.count(chr(10), 0, at) + 1}", "not proto2 as caffeport reads it")


def _field(match: re.Match[str]) -> FieldType:
    options = {name: quoted or bare for name, quoted, bare in _OPTION.findall(match["options"] or "")}
    return FieldType(
        match["field"],
        int(match["number"]),
        match["type"],
        repeated=match["label"] == "repeated",
        packed=options.get("packed") == "true",
        default=options.get("default"),
        required=match["label"] == "required",
    )


def _schema(raw: Mapping[str, list[FieldType]], enums: Mapping[str, Mapping[str, int]]) -> Schema:
    known = raw.keys() | enums.keys() | SCALARS
    own = {name: [replace(f, type=_resolve(f.type, name, known)) for f in fields] for name, fields in raw.items()}
    added: dict[str, list[FieldType]] = {}
    for name, fields in own.items():
        base, _, fork = name.partition("_")
        if fork and base in raw:
            added.setdefault(base, []).extend(replace(f, fork=fork) for f in fields)
    messages = {name: _message(name, fields, added.get(name, [])) for name, fields in own.items()}
    by_number: dict[int, tuple[FieldType, ...]] = {}
    for f in added.get("LayerParameter", []):
        by_number[f.number] = (*by_number.get(f.number, ()), f)
    return Schema(messages, {name: _enum(name, enums) for name in enums}, by_number)


def _enum(name: str, enums: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """An enum's own values first, then those that forks add to it."""
    message, _, enum = name.rpartition(".")
    added = [enums[key] for key in enums if key.startswith(f"{message}_") and key.endswith(f".{enum}")]
    own = enums[name]
    return {**own, **{key: number for values in added for key, number in values.items() if key not in own}}


def _message(name: str, own: list[FieldType], added: list[FieldType]) -> MessageType:
    by_name: dict[str, FieldType] = {}
    by_number = {f.number: f for f in own}
    names: dict[int, set[str]] = {}
    for f in (*own, *sorted(added, key=lambda f: "_" in f.type)):  # a merged message before one fork's
        first = by_name.setdefault(f.name, f)
        if None not in (first.default, f.default) and first.default != f.default:
            by_name[f.name] = replace(first, default=None)  # forks disagree: whoever reads it must say
    for f in added:
        names.setdefault(f.number, set()).add(f.name)
    for f in added:
        if len(names[f.number]) == 1:
            by_number.setdefault(f.number, f)
    return MessageType(name, by_name, by_number)


def _resolve(type_name: str, scope: str, known: set[str] | frozenset[str]) -> str:
    """A type's full name, looked up from the innermost message outwards."""
    while scope:
        if f"{scope}.{type_name}" in known:
            return f"{scope}.{type_name}"
        scope = scope.rpartition(".")[0]
    if type_name not in known:
        raise UnreadableFile("caffe.proto", f"type {type_name} is not declared")
    return type_name

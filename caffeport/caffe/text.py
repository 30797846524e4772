"""Protobuf's text format, read without a schema: a tree of names and values, each with its line.

What any prototxt may hold is accepted: ``name: value``, ``name { }``, ``name: { }``, ``name < >``, lists ``[a, b]``,
comments, both quotes, adjacent strings, every escape, ``;`` or ``,`` after a field, extension names ``[a.b]``.
A list becomes one field for each of its values. The time is linear in the text and the nesting is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import NoReturn

from caffeport.caffe.tree import Field, Message, Token, Where
from caffeport.errors import UnreadableFile

MAX_DEPTH = 100  # as protobuf's own reader
MAX_BYTES = 16 << 20  # the largest real net definition is under 1 MiB, and a tree takes 50 times its text

# Possessive quantifiers throughout: a pattern that fails never tries the same characters twice.
_SKIP = r"(?:\s++|\#[^\n]*+)*+"
_STRING = r"""(?:"(?:[^"\\\n]++|\\[^\n])*+"|'(?:[^'\\\n]++|\\[^\n])*+')"""
_NUMBER = r"(?:0[xX][0-9a-fA-F]++|(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?+\d++)?+[fF]?+)(?![\w.])"
_SCALAR = rf"""(?:(?P<string>{_STRING})|(?P<minus>-{_SKIP})?+(?P<word>{_NUMBER}|[A-Za-z_]\w*+))"""
_FIELD = re.compile(
    rf"""{_SKIP}(?:
        (?P<name>[A-Za-z_]\w*+|\[[ \t]*+[A-Za-z_][\w./-]*+[ \t]*+\]){_SKIP}
        (?:  :{_SKIP}{_SCALAR}
          |  (?P<colon>:)?+{_SKIP}(?P<open>[{{<\[]))
      | (?P<close>[}}>])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)
_ELEMENT = re.compile(rf"{_SKIP}(?:(?P<open>[{{<])|(?P<close>\])|(?P<comma>,)|{_SCALAR})", re.VERBOSE | re.ASCII)
_MORE = re.compile(rf"{_SKIP}({_STRING})", re.VERBOSE | re.ASCII)
_AFTER = re.compile(rf"{_SKIP}[;,]?+", re.VERBOSE | re.ASCII)
_HEAD = re.compile(rf"(?P<name>[A-Za-z_]\w*+|\[[\w./ \t-]++\]){_SKIP}(?P<colon>:)?+{_SKIP}", re.VERBOSE | re.ASCII)
_FOUND = re.compile(r"\w{1,40}|[^\w\s][^\n]{0,20}|\S")
_BLANK = re.compile(_SKIP, re.VERBOSE | re.ASCII)
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\'\"?]))|[^\\]+|\\"
)
_SIMPLE = dict(zip("abfnrtv\\'\"?", b"\a\b\f\n\r\t\v\\'\"?", strict=True))
_CLOSER = {"{": "}", "<": ">"}


def read_text(path: str | PathLike[str]) -> Message:
    """Read a prototxt file (UTF-8, else Latin-1). Raises UnreadableFile where it is no text or no text format."""
    file = fspath(path)
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableFile(file, f"cannot be opened ({error.strerror})") from error
    _check_size(len(data), file)
    if b"\0" in data:
        raise UnreadableFile(file, "holds NUL bytes, so it is no text", "a prototxt is plain text (UTF-8)")
    return parse_text(_decode(data), file)


def parse_text(text: str, file: str = "<text>") -> Message:
    """Read text format into a tree; raises UnreadableFile naming the line, what was found and what was expected."""
    _check_size(len(text), file)
    return _Reader(text, file).run()


def _check_size(size: int, file: str) -> None:
    if size > MAX_BYTES:
        raise UnreadableFile(file, "too large for a net definition", f"at most {MAX_BYTES >> 20} MiB of text are read")


def _decode(data: bytes) -> str:
    """Text of old files: comments and names in whatever encoding their author had."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


@dataclass(slots=True)
class _Open:
    """A message being read: its field's name, where it opened, what closes it, and whether it stands in a list."""

    name: str
    where: Where
    closer: str
    in_list: bool = False
    fields: list[Field] = field(default_factory=list)


class _Reader:
    """One pass over the text with an explicit stack, so that nesting costs no recursion."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.at = 1 if text.startswith("\ufeff") else 0
        self.line, self.counted = 1, 0
        self.stack = [_Open("", Where(file, 1), "")]

    def run(self) -> Message:
        while True:
            match = _FIELD.match(self.text, self.at)
            if match is None:
                self.diagnose()
            if match["name"]:
                self.field(match)
            elif match["close"]:
                self.close(match)
            elif len(self.stack) > 1:
                self.fail(match.end(), self.missing_closer())
            else:
                return Message(tuple(self.stack[0].fields), self.stack[0].where)

    def field(self, match: re.Match[str]) -> None:
        name = match["name"].replace(" ", "").replace("\t", "")
        where = self.where(match.start("name"))
        self.at = match.end()
        if match["open"] == "[":
            self.list(name, where)
        elif match["open"]:
            self.open(name, where, match["open"])
        else:
            self.stack[-1].fields.append(Field(name, self.scalar(match), where))
            self.separator()

    def open(self, name: str, where: Where, bracket: str, in_list: bool = False) -> None:
        if len(self.stack) > MAX_DEPTH:
            raise UnreadableFile(str(where), f"{name!r} is nested deeper than {MAX_DEPTH} messages")
        self.stack.append(_Open(name, where, _CLOSER[bracket], in_list))

    def close(self, match: re.Match[str]) -> None:
        top = self.stack[-1]
        if match["close"] != top.closer:
            self.fail(match.start("close"), self.missing_closer() if top.closer else "a field name")
        self.stack.pop()
        self.stack[-1].fields.append(Field(top.name, Message(tuple(top.fields), top.where), top.where))
        self.at = match.end("close")
        if top.in_list:
            self.list(top.name, top.where, begun=True)
        else:
            self.separator()

    def list(self, name: str, where: Where, begun: bool = False) -> None:
        """Read a list up to its end or up to the next message in it, which `close` comes back from."""
        value_next = not begun
        first = value_next
        while match := _ELEMENT.match(self.text, self.at):
            if match["close"] and (first or not value_next):
                self.at = match.end()
                self.separator()
                return
            if value_next == bool(match["comma"]) or match["close"]:
                break
            self.at = match.end()
            if match["open"]:
                self.open(name, self.where(match.start("open")), match["open"], in_list=True)
                return
            if value_next:
                begin = max(match.start("string"), match.start("word"))
                self.stack[-1].fields.append(Field(name, self.scalar(match), self.where(begin)))
            value_next, first = not value_next, False
        self.fail(self.at, f"a value in the list {name!r}" if value_next else f"',' or ']' in the list {name!r}")

    def scalar(self, match: re.Match[str]) -> Token:
        """The scalar of a match whose end `self.at` already is; adjacent strings are joined."""
        word: str | None = match["word"]
        if word is not None:
            if match["minus"] is None:
                return Token(word)
            if word[0].isalpha() and word.lower() not in {"inf", "infinity", "nan"}:
                self.fail(match.start("word"), "a number after '-'")
            return Token("-" + word)
        parts = [self.unescape(match["string"], match.start("string"))]
        while more := _MORE.match(self.text, self.at):
            self.at = more.end()
            parts.append(self.unescape(more[1], more.start(1)))
        return Token(_decode(b"".join(parts)), quoted=True)

    def unescape(self, literal: str, at: int) -> bytes:
        body = literal[1:-1]
        if "\\" not in body:
            return body.encode("utf-8", "surrogatepass")
        out = bytearray()
        for match in _ESCAPE.finditer(body):
            octal, hexadecimal, short, long, simple = match.groups()
            code = int(short or long or "0", 16)
            if octal:
                out.append(int(octal, 8) & 0xFF)
            elif hexadecimal:
                out.append(int(hexadecimal, 16))
            elif simple:
                out.append(_SIMPLE[simple])
            elif match[0] == "\\" or code > 0x10FFFF:
                self.fail(at + 1 + match.start(), "an escape such as \\n, \\x41, \\101 or \\\\")
            else:
                out += (chr(code) if short or long else match[0]).encode("utf-8", "surrogatepass")
        return bytes(out)

    def separator(self) -> None:
        match = _AFTER.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def where(self, at: int) -> Where:
        """The place of a position; positions must not fall."""
        self.line += self.text.count("\n", self.counted, at)
        self.counted = at
        return Where(self.file, self.line)

    def missing_closer(self) -> str:
        top = self.stack[-1]
        return f"{top.closer!r}, for {top.name!r} was opened at line {top.where.line}"

    def diagnose(self) -> NoReturn:
        """Say why no field starts at `self.at`."""
        begin = match.end() if (match := _BLANK.match(self.text, self.at)) else self.at
        head = _HEAD.match(self.text, begin)
        if head is None:
            self.fail(begin, f"a field name or {self.missing_closer()}" if len(self.stack) > 1 else "a field name")
        if not head["colon"]:
            self.fail(head.end(), f"':' or '{{' after {head['name'][:60]!r}")
        opened = self.text[head.end() : head.end() + 1] in ("'", '"')
        wanted = "a closing quote on the same line" if opened else "a value"
        self.fail(head.end(), f"{wanted} for {head['name'][:60]!r}")

    def fail(self, at: int, expected: str) -> NoReturn:
        at = match.end() if (match := _BLANK.match(self.text, at)) else at
        line = self.text.count("\n", 0, at) + 1
        found = repr(match[0]) if (match := _FOUND.match(self.text, at)) else "the end of the file"
        raise UnreadableFile(f"{self.file}:{line}", f"found {found}", f"expected {expected}")

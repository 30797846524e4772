"""The text reader: what it takes, what it refuses and how, and that nothing makes it hang."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeport.caffe.text import MAX_BYTES, MAX_DEPTH, parse_text, read_text
from caffeport.caffe.tree import Field, Message, Token, Where
from caffeport.errors import UnreadableFile

Plain = list[tuple[str, object]]


def plain(message: Message) -> Plain:
    """A tree less its places: names with texts (strings as bytes' worth of quotes) or lists."""
    return [
        (f.name, plain(f.value) if isinstance(f.value, Message) else (f.value.text, f.value.quoted))
        for f in message.fields
        if isinstance(f.value, Message | Token)
    ]


def refusal(text: str) -> str:
    """Why the reader refuses the text; "" where it reads it."""
    try:
        parse_text(text)
    except UnreadableFile as error:
        return str(error)
    return ""


def word(text: str) -> tuple[str, bool]:
    return text, False


def quoted(text: str) -> tuple[str, bool]:
    return text, True


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        ("# only a comment", []),
        ("a: 1", [("a", word("1"))]),
        ("a:1b:2", None),
        ("a: 1 b: 2; c: 3, d: 4", [("a", word("1")), ("b", word("2")), ("c", word("3")), ("d", word("4"))]),
        ("a { } b: { } c < > d: < >;", [("a", []), ("b", []), ("c", []), ("d", [])]),
        ("a{b{c:1}}", [("a", [("b", [("c", word("1"))])])]),
        ("a: [1, 2]", [("a", word("1")), ("a", word("2"))]),
        ("a: [ ] b: []", []),
        ('a: ["x" "y", \'z\']', [("a", quoted("xy")), ("a", quoted("z"))]),
        ("a: [{b: 1}, <c: 2>] d: 3", [("a", [("b", word("1"))]), ("a", [("c", word("2"))]), ("d", word("3"))]),
        ("a [{}, {}]", [("a", []), ("a", [])]),
        ("a: 'x'\n  \"y\" # z\n 'z'", [("a", quoted("xyz"))]),
        (r"a: '\n\t\\\'\"\x41\101\0\?'", [("a", quoted("\n\t\\'\"AA\0?"))]),
        (r"a: '\303\244 \u00e4 \U0001F600'", [("a", quoted("ä ä 😀"))]),
        (r"a: '\344'", [("a", quoted("ä"))]),
        ("a: 'ä'", [("a", quoted("ä"))]),
        ("[foo.bar]: 1 [ x.y/Z ] { }", [("[foo.bar]", word("1")), ("[x.y/Z]", [])]),
        ("\ufeffa: 1", [("a", word("1"))]),
        ("a: 1\r\nb: 2\r\n", [("a", word("1")), ("b", word("2"))]),
        ("a # c\n : # c\n 1 # c", [("a", word("1"))]),
        ("a: - 5 b: -inf c: -\n.5", [("a", word("-5")), ("b", word("-inf")), ("c", word("-.5"))]),
    ],
)
def test_reads(text: str, wanted: Plain | None) -> None:
    if wanted is None:
        with pytest.raises(UnreadableFile):
            parse_text(text)
    else:
        assert plain(parse_text(text)) == wanted


@pytest.mark.parametrize("number", ["1.", ".5", "1e-4", "1E+4", "0x1F", "-0xf", "017", "1f", "1.5F", "inf", "nan", "0"])
def test_numbers_stay_as_written(number: str) -> None:
    assert plain(parse_text(f"a: {number} b: 1")) == [("a", word(number)), ("b", word("1"))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "f:1: found the end of the file; expected ':' or '{' after 'a'"),
        ("\n a b", "f:2: found 'b'; expected ':' or '{' after 'a'"),
        ("a:\n\n", "f:3: found the end of the file; expected a value for 'a'"),
        ("a: 3pad", "f:1: found '3pad'; expected a value for 'a'"),
        ("a: 1e", "f:1: found '1e'; expected a value for 'a'"),
        ("a: +1", "f:1: found '+1'; expected a value for 'a'"),
        ("a: 1 2", "f:1: found '2'; expected a field name"),
        ("a: 1;; b: 2", "f:1: found '; b: 2'; expected a field name"),
        ("a {\n b: 1\n", "f:3: found the end of the file; expected '}', for 'a' was opened at line 1"),
        ("a {\n b: 1\n>", "f:3: found '>'; expected '}', for 'a' was opened at line 1"),
        ("a { ?", "f:1: found '?'; expected a field name or '}', for 'a' was opened at line 1"),
        ("}", "f:1: found '}'; expected a field name"),
        ("a: 'x\n'", "f:1: found \"'x\"; expected a closing quote on the same line for 'a'"),
        (r"a: '\q '", r"""f:1: found "\\q '"; expected an escape such as \n, \x41, \101 or \\"""),
        (r"a: '\Uffffffff'", r"""f:1: found "\\Uffffffff'"; expected an escape such as \n, \x41, \101 or \\"""),
        ("a: [1,]", "f:1: found ']'; expected a value in the list 'a'"),
        ("a: [1 2]", "f:1: found '2'; expected ',' or ']' in the list 'a'"),
        ("a: [[1]]", "f:1: found '[1]]'; expected a value in the list 'a'"),
        ("a: [1, 2", "f:1: found the end of the file; expected ',' or ']' in the list 'a'"),
        ("a: [{b: 1}", "f:1: found the end of the file; expected ',' or ']' in the list 'a'"),
        ("a: -foo", "f:1: found 'foo'; expected a number after '-'"),
        ("${NAME}", "f:1: found '${NAME}'; expected a field name"),
    ],
)
def test_refuses_with_line_found_and_expected(text: str, message: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        parse_text(text, "f")
    assert str(caught.value) == message


def test_every_field_knows_its_line() -> None:
    net = parse_text("a: 1\n\n# c\nb {\n  c: 2\n  d: [3,\n  4]\n}\ne: 'x'\n'y' f: 5", "n")
    assert [(f.name, f.where.line) for f in net.fields] == [("a", 1), ("b", 4), ("e", 9), ("f", 10)]
    inner = net.fields[1].value
    assert isinstance(inner, Message)
    assert inner.where == Where("n", 4)
    assert [f.where.line for f in inner.fields] == [5, 6, 7]


def test_nesting_is_bounded_by_a_refusal_and_not_by_the_stack() -> None:
    deep = parse_text("a{" * MAX_DEPTH + "}" * MAX_DEPTH)
    for _ in range(MAX_DEPTH):
        (field,) = deep.fields
        assert isinstance(field.value, Message)
        deep = field.value
    with pytest.raises(UnreadableFile, match="deeper than 100"):
        parse_text("a{" * (MAX_DEPTH + 1) + "}" * (MAX_DEPTH + 1))
    with pytest.raises(UnreadableFile, match="deeper than 100"):
        parse_text("a: [<" * 100_000)


@pytest.mark.parametrize(
    "junk",
    [" ", "a", 'a:"', "#", "\n", '"', "-", "\\", "[a", "a\n", "1", "a:-     ", "a: '\\", "a:[", "{", "'x' ", "a.b"],
)
def test_junk_takes_linear_time(junk: str) -> None:
    text = (junk * 1_000_000)[:1_000_000]
    begin = time.perf_counter()
    for one in (text, "a: " + text, "a: '" + text, "a { b: [" + text):
        assert len(refusal(one)) < 300
    assert time.perf_counter() - begin < 20, "a megabyte takes well under a second, quadratic time minutes"


def test_read_text(tmp_path: Path) -> None:
    path = tmp_path / "n.prototxt"
    path.write_bytes(b"\xef\xbb\xbf# caf\xc3\xa9\r\na: 1")
    assert plain(read_text(path)) == [("a", word("1"))]
    path.write_bytes(b"# caf\xe9\na: 'caf\xe9'")
    assert plain(read_text(path)) == [("a", quoted("café"))]
    path.write_bytes(b"a: 1\0")
    with pytest.raises(UnreadableFile, match="NUL"):
        read_text(path)
    with pytest.raises(UnreadableFile, match="cannot be opened"):
        read_text(tmp_path / "none.prototxt")
    with pytest.raises(UnreadableFile, match="cannot be opened"):
        read_text(tmp_path)
    with open(path, "wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(UnreadableFile, match="too large"):
        read_text(path)


# ---- properties ----------------------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
numbers = st.one_of(st.integers().map(str), st.floats(allow_nan=False).map(repr), st.sampled_from(["1.", ".5", "0x1f"]))
strings = st.text(max_size=12)
here = Where("<text>", 1)


def escape(text: str) -> str:
    return "".join(c if c.isalnum() else "".join(f"\\{byte:03o}" for byte in c.encode()) for c in text)


scalars = st.one_of(
    numbers.map(Token), names.map(Token), strings.map(lambda text: Token(text, quoted=True)), st.just(Token("true"))
)
trees = st.recursive(
    st.lists(st.builds(Field, names, scalars, st.just(here)), max_size=4).map(lambda f: Message(tuple(f), here)),
    lambda inner: st.lists(st.builds(Field, names, st.one_of(scalars, inner), st.just(here)), max_size=4).map(
        lambda f: Message(tuple(f), here)
    ),
    max_leaves=12,
)


@st.composite
def printed(draw: st.DrawFn, message: Message) -> str:
    """The message in one of the many ways to write it."""
    gap = st.sampled_from([" ", "\n", "\t", "\r\n", " # c }{\n"])
    out = []
    for f in message.fields:
        if isinstance(f.value, Message):
            left, right = draw(st.sampled_from([("{", "}"), ("<", ">"), (": {", "}"), (": [ {", "} ]")]))
            value = left + draw(gap) + draw(printed(f.value)) + right
        else:
            assert isinstance(f.value, Token)
            quote = draw(st.sampled_from("'\""))
            value = f"{quote}{escape(f.value.text)}{quote}" if f.value.quoted else f.value.text
            value = ":" + draw(gap) + (f"[{value}]" if draw(st.booleans()) else value)
        out += [f.name, draw(st.sampled_from(["", " "])), value, draw(st.sampled_from(["", ";", ","])), draw(gap)]
    return "".join(out)


@given(st.data(), trees)
@settings(max_examples=150, deadline=None)
def test_what_is_printed_is_read_back(data: st.DataObject, tree: Message) -> None:
    assert plain(parse_text(data.draw(printed(tree)))) == plain(tree)


@given(st.one_of(st.text(max_size=200), st.text("ab:{}<>[],;'\"\\#\n 01x.-ef", max_size=200)))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_unreadable(text: str) -> None:
    assert re.match(r"\Z|<text>:\d+: ", refusal(text))


NET = """name: "n" layer { name: 'c' type: "Convolution" top: [ "a", "b" ] convolution_param < num_output: 3 pad: -0x1 >
  # comment
  blobs: { shape { dim: [1, 2] } data: 1.5e-3 } };"""


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_mutations_are_read_or_unreadable(data: st.DataObject) -> None:
    text = NET
    for _ in range(data.draw(st.integers(1, 3))):
        at, end = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 6))
        text = text[:at] + data.draw(st.text(max_size=3)) + text[at + end :]
    assert re.match(r"\Z|<text>:\d+: ", refusal(text))

"""Typed reads that remember."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeport.caffe import scalars
from caffeport.caffe.fields import Fields, merge
from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.text import parse_text
from caffeport.caffe.tree import Field, Message, Token, Where
from caffeport.errors import Refused

ONCE = "Caffe takes it once only; remove one of them"
HERE = Where("w.caffemodel", offset=7)


def text(source: str, schema_type: str = "PoolingParameter") -> Fields:
    return Fields(parse_text(source), schema_type, "n:1: layer 'p' (Pooling)")


def binary(schema_type: str = "PoolingParameter", **values: int | float | bool | str | bytes | Message) -> Fields:
    message = Message(tuple(Field(name, value, HERE) for name, value in values.items()), HERE)
    return Fields(message, schema_type, "w.caffemodel: layer 'p' (Pooling)")


def test_reads_what_the_file_says() -> None:
    fields = text("kernel_size: 3 pool: AVE global_pooling: true stride_h: 0x10 pad: 017")
    assert fields.int("kernel_size") == 3
    assert fields.enum("pool") == "AVE"
    assert fields.bool("global_pooling") is True
    assert fields.int("stride_h") == 16
    assert fields.int("pad") == 15
    assert fields.unread() == []


def test_defaults_are_the_callers_then_the_schemas_then_refused() -> None:
    fields = text("")
    assert (fields.int("pad"), fields.enum("pool"), fields.bool("global_pooling")) == (0, "MAX", False)
    assert (fields.int("pad", 7), fields.int("kernel_w", None), fields.str("nobody", "x")) == (7, None, "x")
    with pytest.raises(Refused, match=r"layer 'p' \(Pooling\): kernel_w is missing; it has no default"):
        fields.int("kernel_w")
    with pytest.raises(Refused, match="nobody is missing"):
        fields.float("nobody")
    assert Fields(None, "LRNParameter", "x").float("beta") == 0.75
    assert Fields(None, "FillerParameter", "x").str("type") == "constant"


def test_every_default_of_the_schema_can_be_read() -> None:
    getters = {"int": ("int32", "uint32", "int64"), "float": ("float", "double"), "bool": ("bool",), "str": ("string",)}
    read = 0
    for message in Schema.load().messages.values():
        for field in message.by_name.values():
            if field.default is not None:
                fields = Fields(None, message.name, "x")
                name = next((getter for getter, types in getters.items() if field.type in types), "enum")
                assert getattr(fields, name)(field.name) is not None
                read += 1
    assert read > 300


def test_repeated_fields() -> None:
    fields = text("kernel_size: [3, 4] kernel_size: 5 stride: [] dilation: 2", "ConvolutionParameter")
    assert fields.ints("kernel_size") == (3, 4, 5)
    assert fields.ints("stride") == fields.ints("pad") == ()
    assert fields.ints("dilation") == (2,)
    assert text("mean_value: [1, .5, 2.] ", "TransformationParameter").floats("mean_value") == (1.0, 0.5, 2.0)
    assert text("propagate_down: true propagate_down: 0", "LayerParameter").bools("propagate_down") == (True, False)
    assert text("top: 'a' top: \"b\"", "LayerParameter").strs("top") == ("a", "b")
    modes = text("blob_share_mode: STRICT blob_share_mode: 1", "V1LayerParameter").enums("blob_share_mode")
    assert modes == ("STRICT", "PERMISSIVE")


@pytest.mark.parametrize(
    ("source", "getter", "message"),
    [
        ("\npad: -1", "int", "pad is -1 (line 2); 0 to 4294967295 is allowed"),
        ("pad: 4294967296", "int", "pad is 4294967296 (line 1); 0 to 4294967295 is allowed"),
        ("pad: 1.0", "int", "pad is 1.0 (line 1); an integer is expected"),
        ("pad: '1'", "int", "pad is '1' (line 1); an integer is expected"),
        ("pad: cls", "int", "pad is cls (line 1); an integer is expected"),
        ("pad: true", "int", "pad is true (line 1); an integer is expected"),
        ("pad { }", "int", "pad is a message (line 1); an integer is expected"),
        ("pad: 08", "int", "pad is 08 (line 1); an integer is expected"),
        ("pad: x", "float", "pad is x (line 1); a number is expected"),
        ("pad: 0x10", "float", "pad is 0x10 (line 1); a number is expected"),
        ("pad: 010", "float", "pad is 010 (line 1); a number is expected"),
        ("pad: '1'", "float", "pad is '1' (line 1); a number is expected"),
        ("pad: yes", "bool", "pad is yes (line 1); true or false is expected"),
        ("pad: 2", "bool", "pad is 2 (line 1); true or false is expected"),
        ("pad: word", "str", "pad is word (line 1); a string in quotes is expected"),
        ("pool: MEAN", "enum", "pool is MEAN (line 1); one of MAX, AVE, STOCHASTIC is allowed"),
        ("pool: 3", "enum", "pool is 3 (line 1); one of MAX, AVE, STOCHASTIC is allowed"),
        ("pool: 'AVE'", "enum", "pool is 'AVE' (line 1); one of MAX, AVE, STOCHASTIC is allowed"),
        ("foo: 3", "enum", "foo is 3 (line 1); a name is expected"),
        ("pad: 1\npad: 2", "int", f"pad is given twice, in lines 1 and 2; {ONCE}"),
        ("pad: 1", "sub", "pad is 1 (line 1); a message in braces is expected"),
        ("pad { }\npad { }", "sub", f"pad is given twice, in lines 1 and 2; {ONCE}"),
    ],
)
def test_refusals_name_field_value_and_line(source: str, getter: str, message: str) -> None:
    fields = text(source)
    name = fields.names()[0]
    with pytest.raises(Refused) as caught:
        getattr(fields, getter)(name)
    assert str(caught.value) == f"n:1: layer 'p' (Pooling): {message}"


def test_a_binary_file_gives_the_same_values() -> None:
    fields = binary(kernel_size=3, pool=1, global_pooling=True)
    assert (fields.int("kernel_size"), fields.enum("pool"), fields.bool("global_pooling")) == (3, "AVE", True)
    with pytest.raises(Refused, match="pool is 9; one of MAX, AVE, STOCHASTIC is allowed"):
        binary(pool=9).enum("pool")
    with pytest.raises(Refused, match=r"stride is 1\.0; an integer"):
        binary(stride=1.0).int("stride")
    with pytest.raises(Refused, match="stride is True; an integer"):
        binary(stride=True).int("stride")
    with pytest.raises(Refused, match="alpha is 1; a number"):
        binary("LRNParameter", alpha=1).float("alpha")


def test_of_a_binary_files_repeats_the_last_holds_and_messages_merge() -> None:
    fields = [Field("pad", 1, HERE), Field("pad", 2, HERE)]
    assert Fields(Message(tuple(fields), HERE), "PoolingParameter", "x").int("pad") == 2
    first, second = (Message((field,), HERE) for field in fields)
    both = Message((Field("pooling_param", first, HERE), Field("pooling_param", second, HERE)), HERE)
    assert Fields(both, "LayerParameter", "x").sub("pooling_param").int("pad") == 2
    assert merge() is None
    assert merge(first) is first
    assert merge(first, second) == Message(tuple(fields), HERE)


def test_messages_inside() -> None:
    layer = text("lrn_param { alpha: 2 } param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }", "LayerParameter")
    lrn = layer.sub("lrn_param")
    assert (lrn.schema_type, lrn.label) == ("LRNParameter", layer.label)
    assert (lrn.float("alpha"), lrn.int("local_size")) == (2.0, 5)
    assert [param.float("lr_mult") for param in layer.subs("param")] == [1.0, 2.0]
    assert [error.what for error in layer.unread()] == ["param.decay_mult is 0 (line 1)"]
    assert layer.sub("lrn_param") is lrn, "reads add up"
    absent = layer.sub("pooling_param")
    assert absent.message is None
    assert absent.enum("pool") == "MAX"
    assert layer.subs("exclude") == ()


def test_what_nobody_read_is_listed() -> None:
    layer = text("a: 1 b: 'x'\nlrn_param { k: 2 x { y: 1 } } pooling_param { pad: 1 } c: 3", "LayerParameter")
    layer.int("a")
    layer.ignore("c")
    layer.sub("lrn_param").float("k")
    assert layer.has("pooling_param"), "asking is not reading"
    assert [error.what for error in layer.unread()] == [
        "b is 'x' (line 1)",
        "lrn_param.x is a message (line 2)",
        "pooling_param is a message (line 2)",
    ]
    assert text("").unread() == Fields(None, "X", "x").unread() == []


def test_fields_that_no_schema_knows() -> None:
    fields = text("my_param { order: [0, 2] ratio: .5 mode: FAST name: 'n' on: true big: -9223372036854775808 }", "X")
    mine = fields.sub("my_param")
    assert mine.ints("order") == (0, 2)
    assert (mine.float("ratio"), mine.enum("mode"), mine.str("name"), mine.bool("on")) == (0.5, "FAST", "n", True)
    assert mine.int("big") == -(2**63)
    assert fields.unread() == []
    assert text("bn_param { bn_mode: 1 }", "LayerParameter").sub("bn_param").enum("bn_mode") == "INFERENCE"
    scale = text("upsample_param { }", "LayerParameter").sub("upsample_param", "UpsampleParameter_segnet").int("scale")
    assert scale == 2


def test_refuse_is_a_sentence() -> None:
    fields = text("")
    error = fields.refuse("local_size", "is 4", "Caffe allows odd sizes only")
    assert str(error) == "n:1: layer 'p' (Pooling): local_size is 4; Caffe allows odd sizes only"
    assert str(fields.refuse("k", "k is 4", "no", "stop")) == "n:1: layer 'p' (Pooling): k is 4; no; stop"


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(Refused) as caught:
        text(f"pad: '{'x' * 10_000}'").int("pad")
    assert len(str(caught.value)) < 200
    assert scalars.shown(b"\0" * 1000).endswith("...")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *[("1.", 1.0), (".5", 0.5), ("1f", 1.0), ("1.5F", 1.5), ("1e-4", 1e-4), ("-2", -2.0), ("-inf", -float("inf"))],
        *[("Infinity", float("inf")), ("007.5", 7.5), ("0", 0.0), ("0f", 0.0), ("1e400", float("inf"))],
    ],
)
def test_floats(word: str, value: float) -> None:
    assert scalars.to_float(Token(word)) == value


def test_nan() -> None:
    assert scalars.to_float(Token("nan")) != scalars.to_float(Token("nan"))


@given(st.floats(width=32))
def test_a_float32_comes_back_with_the_fewest_digits(value: float) -> None:
    short = scalars.to_float(value)
    assert struct.pack("<f", short) == struct.pack("<f", value)
    assert len(repr(short)) <= len(repr(value))


def test_a_float32_reads_as_the_text_would() -> None:
    (value,) = struct.unpack("<f", struct.pack("<f", 0.1))
    assert value != 0.1
    assert scalars.to_float(value) == 0.1
    assert scalars.to_float(value, FieldType("d", 1, "double")) == value
    assert scalars.to_float(1 / 3) == 1 / 3, "no float32, so nothing is cut"


@given(st.sampled_from(["int", "float", "bool", "str", "enum"]), st.text(max_size=30), st.booleans())
def test_any_token_is_read_or_refused(getter: str, word: str, quoted: bool) -> None:
    for name in ("pad", "pool", "nobody"):
        message = Message((Field(name, Token(word, quoted), Where("n", 1)),), Where("n", 1))
        try:
            getattr(Fields(message, "PoolingParameter", "x"), getter)(name)
        except Refused as refusal:
            assert refusal.where == "x"  # noqa: PT017

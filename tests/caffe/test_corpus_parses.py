"""588 real net definitions parse, and say what protobuf's own text reader says they say."""

from __future__ import annotations

import os
import struct
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from caffeport.caffe import scalars
from caffeport.caffe.fields import Fields
from caffeport.caffe.schema import FieldType, Schema
from caffeport.caffe.text import parse_text
from caffeport.caffe.tree import Message, Token
from caffeport.errors import Refused

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("CAFFEPORT_SHARED", ROOT.parent / "shared"))
ARCHIVE = SHARED / "prototxts" / "nets.tar.gz"

# All 588 are text format. These are templates: a word stands where a number belongs, to be filled in by a script.
TEMPLATES = {
    "chuanqi305__MobileNet-SSD/cb8b55cc59-MobileNetSSD_deploy_template.prototxt": ("cls3x", 2397),
    "imistyrain__ssd-models/07823ea087-MobileNetSSD_train_template.prototxt": ("cls3x", 2527),
    "imistyrain__ssd-models/23c291dc0c-MobileNetSSD_deploy_bn_template.prototxt": ("cls1x", 3058),
    "imistyrain__ssd-models/3ed272e87f-shufflenet_ssd_deploy_template.prototxt": ("cls3x", 1514),
    "imistyrain__ssd-models/473fc0c87a-shufflenet_ssd_test_template.prototxt": ("cls3x", 4177),
    "imistyrain__ssd-models/9e64f884d1-MobileNetSSD_test_template.prototxt": ("cls3x", 2422),
}
# Enum values of forks that BVLC's enums lack: our tree keeps the word, protobuf refuses the file.
FORK_VALUES = ("normalization: PRE_FIXED", "type: LOCAL", "type: VIDEO_DATA", "type: COLINEAR_CONVOLUTION")


@cache
def corpus() -> dict[str, str]:
    """Every net by name, as text."""
    if not ARCHIVE.is_file():
        pytest.skip(f"no {ARCHIVE}: set CAFFEPORT_SHARED to the folder that holds prototxts/nets.tar.gz")
    nets = {}
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            if member.isfile() and (stream := archive.extractfile(member)) is not None:
                data = stream.read()
                try:
                    text = data.decode("utf-8-sig")
                except UnicodeDecodeError:
                    text = data.decode("latin-1")
                nets["/".join(Path(member.name).parts[-2:])] = text
    return nets


@cache
def net_class() -> Any:
    """NetParameter as protobuf compiles it, in a pool of its own."""
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is the witness for the text reader")
    files = descriptor_pb2.FileDescriptorSet()
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "caffe.pb")
        assert protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"--descriptor_set_out={out}", "caffe.proto"]) == 0
        files.ParseFromString(Path(out).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def test_every_net_parses() -> None:
    nets = corpus()
    assert len(nets) == 588
    for name, text in nets.items():
        net = parse_text(text, name)
        assert net.fields, name


def test_templates_are_refused_at_their_line_when_read() -> None:
    nets = corpus()
    for name, (word, line) in TEMPLATES.items():
        refusals = list(mistyped(parse_text(nets[name], name), "NetParameter"))
        assert refusals, name
        assert f"is {word} (line {line}); an integer is expected" in str(refusals[0])


def mistyped(message: Message, schema_type: str) -> Iterator[Refused]:
    """What a typed reading of every number field of known type refuses."""
    fields = Fields(message, schema_type, str(message.where))
    for name in fields.names():
        known = Schema.load().field_type(schema_type, name)
        try:
            if known and known.type in ("int32", "uint32", "int64"):
                fields.ints(name)
            elif known and known.type == "float":
                fields.floats(name)
            elif known and Schema.load().kind(known.type) == "message":
                for inside in fields.subs(name):
                    assert inside.message is not None
                    yield from mistyped(inside.message, inside.schema_type)
        except Refused as refusal:
            yield refusal


def agree(theirs: Any, ours: Message, where: str) -> None:
    """Every field that protobuf knows has the same values in both readings."""
    known = theirs.DESCRIPTOR.fields_by_name
    assert {f.name for f, _ in theirs.ListFields()} == {f.name for f in ours.fields if f.name in known}, where
    for field, value in theirs.ListFields():
        values = list(value) if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]
        mine = [f.value for f in ours.all(field.name)]
        assert len(values) == len(mine), f"{where}.{field.name}"
        for one, other in zip(values, mine, strict=True):
            if isinstance(other, Message):
                agree(one, other, f"{where}.{field.name}")
            else:
                assert isinstance(other, Token)
                assert typed(other, field) == one, f"{where}.{field.name}"


def typed(token: Token, field: Any) -> object:
    """A token as the Python value that protobuf gives."""
    kind = field.cpp_type
    if kind == field.CPPTYPE_ENUM:
        values = {value.name: value.number for value in field.enum_type.values}
        return values[scalars.to_enum(token)] if token.text in values else scalars.to_int(token)
    if kind == field.CPPTYPE_FLOAT:
        return struct.unpack("<f", struct.pack("<f", scalars.to_float(token)))[0]
    if kind == field.CPPTYPE_BOOL:
        return scalars.to_bool(token)
    if kind == field.CPPTYPE_STRING:
        return scalars.to_str(token)
    return scalars.to_int(token, FieldType(field.name, field.number, "int64"))


def compare(names: list[str]) -> int:
    compared = 0
    for name in names:
        text = corpus()[name]
        theirs = net_class()()
        if name in TEMPLATES or any(value in text for value in FORK_VALUES):
            continue
        text_format.Parse(text, theirs, allow_unknown_field=True)
        agree(theirs, parse_text(text, name), name)
        compared += 1
    return compared


def test_small_nets_say_what_protobuf_reads() -> None:
    small = sorted((name for name, text in corpus().items() if len(text) < 40_000), key=lambda name: name.split("-")[0])
    assert compare(small[::5]) > 30


@pytest.mark.slow
def test_all_nets_say_what_protobuf_reads() -> None:
    assert compare(sorted(corpus())) == 551

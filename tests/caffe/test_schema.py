"""The schema reader against protoc, and the forks' fields."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from caffeport.caffe.schema import FieldType, MessageType, Schema, parse_schema
from caffeport.errors import UnreadableFile

PROTO = Path(__file__).resolve().parents[2] / "proto" / "caffe.proto"
SCALARS = {1: "double", 2: "float", 3: "int64", 5: "int32", 8: "bool", 9: "string", 12: "bytes", 13: "uint32"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """protoc's own reading of the schema, in no descriptor pool at all."""
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools is the witness for the schema reader")
    out = tmp_path_factory.mktemp("schema") / "caffe.pb"
    assert protoc.main(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={out}", str(PROTO)]) == 0
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString(out.read_bytes())
    return files.file[0]


def walk(compiled: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    messages: dict[str, Any] = {}
    enums: dict[str, Any] = {enum.name: enum for enum in compiled.enum_type}
    todo = [("", message) for message in compiled.message_type]
    while todo:
        outer, message = todo.pop()
        name = outer + message.name
        messages[name] = message
        enums.update({f"{name}.{enum.name}": enum for enum in message.enum_type})
        todo += [(f"{name}.", inner) for inner in message.nested_type]
    return messages, enums


def same_default(ours: str | None, theirs: str | None, type_name: str) -> bool:
    if ours is None or theirs is None or type_name not in ("float", "double"):
        return ours == theirs
    return float(ours) == float(theirs)


def test_every_field_as_protoc_reads_it(compiled: Any) -> None:
    messages, _ = walk(compiled)
    schema = Schema.load()
    assert set(schema.messages) == set(messages)
    for name, message in messages.items():
        mine = schema.message(name)
        own = {number for number, field in mine.by_number.items() if field.fork is None}
        assert own == {field.number for field in message.field}
        for field in message.field:
            got = mine.by_number[field.number]
            wanted = field.type_name.removeprefix(".caffe.") or SCALARS[field.type]
            default = field.default_value if field.HasField("default_value") else None
            assert (got.name, got.type) == (field.name, wanted), name
            assert got.repeated == (field.label == field.LABEL_REPEATED), f"{name}.{field.name}"
            assert got.required == (field.label == field.LABEL_REQUIRED), f"{name}.{field.name}"
            assert got.packed == field.options.packed, f"{name}.{field.name}"
            assert same_default(got.default, default, got.type), f"{name}.{field.name}: {got.default} {default}"
            assert schema.kind(got.type) == {11: "message", 14: "enum"}.get(field.type, "scalar")


def test_every_enum_as_protoc_reads_it(compiled: Any) -> None:
    _, enums = walk(compiled)
    schema = Schema.load()
    assert set(schema.enums) == set(enums)
    for name, enum in enums.items():
        values = {value.name: value.number for value in enum.value}
        assert values.items() <= schema.enum(name).items(), name
        assert list(schema.enum(name))[: len(values)] == list(values), name


@pytest.mark.parametrize(
    ("number", "layer_type", "name", "type_name"),
    [
        (106, "DepthwiseConvolution", "convolution_param", "ConvolutionParameter"),
        (137, "Embed", "embed_param", "EmbedParameter"),
        (137, "BN", "bn_param", "BNParameter"),
        (45, "BN", "bn_param", "BNParameter_segnet"),
        (137, "Upsample", "upsample_param", "UpsampleParameter_segnet"),
        (150, "Upsample", "upsample_param", "UpsampleParameter"),
        (143, "Input", "input_param", "InputParameter"),
        (143, "Interp", "interp_param", "InterpParameter"),
        (164, "ShuffleChannel", "shuffle_channel_param", "ShuffleChannelParameter"),
        (164, "SegAccuracy", "seg_accuracy_param", "SegAccuracyParameter"),
        (149, "CropCenter", "crop_center_param", "CropCenterParameter"),
        (149, "Reorg", "reorg_param", "ReorgParameter"),
        (206, "Normalize", "norm_param", "NormalizeParameter"),
        (202, "Anything", "permute_param", "PermuteParameter"),
        (8266711, "ROIPooling", "roi_pooling_param", "ROIPoolingParameter"),
    ],
)
def test_a_number_means_what_the_layer_type_says(number: int, layer_type: str, name: str, type_name: str) -> None:
    field = Schema.load().layer_field(number, layer_type)
    assert field is not None
    assert (field.name, field.type) == (name, type_name)


@pytest.mark.parametrize(("number", "layer_type"), [(149, "Mystery"), (99, "Convolution"), (0, "")])
def test_a_number_that_nobody_or_several_own_stays_unknown(number: int, layer_type: str) -> None:
    assert Schema.load().layer_field(number, layer_type) is None


def test_forks_merge_by_name_and_never_displace_bvlc() -> None:
    schema = Schema.load()
    pooling = schema.message("PoolingParameter")
    assert (pooling.by_name["ceil_mode"].fork, pooling.by_number[13].name) == ("ceil", "round_mode")
    assert {"slope_filler", "scale_filler", "bn_mode"} <= schema.message("BNParameter").by_name.keys()
    assert 2 not in schema.message("DropoutParameter").by_number, "two forks claim it"
    assert schema.message("BlobProto").by_number[12].name == "raw_data"
    assert schema.enum("LossParameter.NormalizationMode")["PRE_FIXED"] == 3
    assert next(name for name, value in schema.enum("LossParameter.NormalizationMode").items() if value == 3) == "NONE"


def test_a_default_that_forks_disagree_on_is_no_default() -> None:
    scale = Schema.load().field_type("UpsampleParameter", "scale")
    assert scale is not None
    assert scale.default is None
    assert Schema.load().message("UpsampleParameter_segnet").by_name["scale"].default == "2"


def test_unknown_names_give_none() -> None:
    schema = Schema.load()
    assert schema.field_type("NoSuchParameter", "x") is None
    assert schema.field_type("PoolingParameter", "x") is None


def test_small_schema() -> None:
    text = "message A { enum E { X = 0; } repeated E e = 2 [packed = true, default = X]; // no\n message B {} }"
    schema = parse_schema(text)
    assert schema.message("A") == MessageType(
        "A", {"e": (e := FieldType("e", 2, "A.E", repeated=True, packed=True, default="X"))}, {2: e}
    )
    assert schema.kind("A.B") == "message"


@pytest.mark.parametrize(
    "text",
    [
        "message A {",
        "}",
        "message A { optional Nope x = 1; }",
        "import 'x';",
        "optional int32 x = 1;",
        "x = 1;",
        "message A { x = 1; }",
    ],
)
def test_broken_schema_is_refused(text: str) -> None:
    with pytest.raises(UnreadableFile):
        parse_schema(text)


def test_reads_in_milliseconds() -> None:
    text = PROTO.read_text(encoding="utf-8")
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        parse_schema(text)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.1, "about 8 ms where this was written"

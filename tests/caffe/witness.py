"""protobuf's own reader of the same schema, in a private pool: the second opinion on every binary file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTO = Path(__file__).resolve().parents[2] / "proto" / "caffe.proto"


@cache
def _pool() -> Any:
    protoc = pytest.importorskip("grpc_tools.protoc", reason="grpcio-tools compiles the schema for the witness")
    with TemporaryDirectory() as folder:
        out = Path(folder) / "caffe.pb"
        assert protoc.main(["protoc", f"-I{PROTO.parent}", f"--descriptor_set_out={out}", str(PROTO)]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(files.file[0])
    return pool


@cache
def message_class(name: str) -> Any:
    """protobuf's class for a message of caffe.proto."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"caffe.{name}"))

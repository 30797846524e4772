"""Broken and hostile files: every failure is a CaffeportError, and none costs memory or time."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeport.caffe.binary import MAX_FIELDS, parse_binary
from caffeport.caffe.blob import WireBlob
from caffeport.caffe.deploy import deploy
from caffeport.caffe.net import build_net, parse_net, read_net
from caffeport.caffe.text import MAX_BYTES, parse_text
from caffeport.caffe.weights import MAX_BLOBS, open_solverstate, open_weights, read_mean
from caffeport.caffe.wire import Wire
from caffeport.errors import CaffeportError, UnreadableFile

from .wiring import data, layer, shape, sized, tag, varint

READERS: list[Callable[[Path], object]] = [open_weights, open_solverstate, read_mean, read_net, deploy]


def read_all(path: Path) -> None:
    """Everything that a file can be asked for; errors must be caffeport's own."""
    for reader in READERS:
        with contextlib.suppress(CaffeportError):
            reader(path)
    with contextlib.suppress(CaffeportError):
        for blobs in open_weights(path).values():
            for one in blobs:
                with contextlib.suppress(CaffeportError):
                    one.numpy()
                    one.diff()
                    one.buffers()


@pytest.fixture(scope="module")
def small() -> bytes:
    """A V2 net of two layers with weights, a V1 layer, a group and an unknown field."""
    v1 = sized(2, sized(4, "old") + tag(5, 0) + varint(14) + sized(6, shape(2) + data([1, 2])))
    group = tag(77, 3) + sized(1, "g") + tag(77, 4)
    body = sized(1, "net") + sized(3, "data") + b"".join(tag(4, 0) + varint(dim) for dim in (1, 3, 4, 5))
    return body + layer("a", shape(2, 3) + data(range(6)), data([5])) + group + layer("b", data([1])) + v1


def test_cut_short_at_every_byte(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    for end in range(len(small)):
        path.write_bytes(small[:end])
        read_all(path)


@pytest.mark.parametrize("name", ["v0-legacy-blobs", "v1-training-net", "v2-unknown-fields"])
def test_real_files_cut_short_around_every_header(golden: Path, tmp_path: Path, name: str) -> None:
    whole = (golden / "formats" / name / "net.caffemodel").read_bytes()
    path = tmp_path / "cut"
    for end in [*range(0, 600, 7), *range(600, len(whole), 997)]:
        path.write_bytes(whole[:end])
        read_all(path)


def test_flipped_bytes(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "flipped"
    for at in range(len(small)):
        for value in (0, 0x7F, 0xFF, small[at] ^ 0x01, small[at] ^ 0x80):
            path.write_bytes(small[:at] + bytes((value,)) + small[at + 1 :])
            read_all(path)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.sampled_from(["NetParameter", "SolverState", "BlobProto", "V0LayerParameter"]))
def test_any_bytes(content: bytes, message: str) -> None:
    with contextlib.suppress(CaffeportError):
        build_net(parse_binary(content, message), "f")
    with contextlib.suppress(CaffeportError):
        WireBlob(Wire(content, "f"), 0, len(content), "b").numpy()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    with contextlib.suppress(CaffeportError):
        parse_net(text)


WORDS = st.sampled_from(
    [
        "layer",
        "layers",
        "{",
        "}",
        "{",
        "}",
        ":",
        '"a"',
        '"Data"',
        "3",
        "-1",
        "name",
        "type",
        "bottom",
        "top",
        "include",
        "exclude",
        "phase",
        "TEST",
        "param",
        "lr_mult",
        "input",
        "input_dim",
        "input_shape",
        "dim",
        "CONVOLUTION",
        "pad",
        '"padding"',
        '"conv"',
        "kernelsize",
        "state",
        "stage",
        "blobs",
        "data_param",
        "crop_size",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_net_like_text(text: str) -> None:
    with contextlib.suppress(CaffeportError):
        parse_net(text)


def test_claims_of_size_allocate_nothing(tmp_path: Path) -> None:
    """Shapes and lengths of exabytes in files of a few bytes."""
    path = tmp_path / "bomb"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for content in (
        layer("a", shape(2**62, 2**62) + data([1])),
        layer("a", shape(2**31 - 1, 2**31 - 1)),
        layer("a", b"".join(tag(n, 0) + varint(2**31 - 1) for n in (1, 2, 3, 4)) + data([1])),
        layer("a", shape(2**40) + tag(5, 2) + varint(2**42)),
        tag(100, 2) + varint(2**63 - 1) + b"x",
        sized(100, sized(7, tag(12, 2) + varint(2**40))),
    ):
        path.write_bytes(content)
        read_all(path)
        with pytest.raises(UnreadableFile):
            [one.numpy() for blobs in open_weights(path).values() for one in blobs]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


@pytest.mark.parametrize(
    ("reader", "content"),
    [
        pytest.param(open_weights, sized(100, b"") * (MAX_BLOBS + 1), id="empty layers"),
        pytest.param(open_weights, sized(100, sized(7, b"") * (MAX_BLOBS + 1)), id="empty blobs"),
        pytest.param(open_solverstate, tag(1, 0) + varint(1) + sized(3, b"") * (MAX_BLOBS + 1), id="empty history"),
        pytest.param(read_net, sized(100, sized(5, bytes(4 * MAX_FIELDS + 4))), id="packed numbers"),
        pytest.param(read_net, sized(100, sized(3, b"") * (MAX_FIELDS + 1)), id="empty strings"),
    ],
)
def test_small_claims_of_many_things_are_counted(
    tmp_path: Path, reader: Callable[[Path], object], content: bytes
) -> None:
    """Two bytes of a file can claim an object of two hundred: a file of 100 MB would fill 10 GB."""
    path = tmp_path / "many"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"more than \d+ (values|layers or blobs)"):
        reader(path)


def test_text_of_any_origin_is_bounded() -> None:
    with pytest.raises(UnreadableFile, match="too large for a net definition; at most 16 MiB"):
        parse_text(" " * (MAX_BYTES + 1))


def test_depth_bombs(tmp_path: Path) -> None:
    path = tmp_path / "deep"
    for content in (
        tag(9, 3) * 100_000 + tag(9, 4) * 100_000,
        b"layer { " * 100_000 + b"}" * 100_000,
        b"layer < " * 5_000,
        b"layer: [" * 5_000,
    ):
        path.write_bytes(content)
        read_all(path)
        with pytest.raises(CaffeportError):
            read_net(path)


def test_files_that_are_something_else(golden: Path, tmp_path: Path) -> None:
    others = {
        "empty": b"",
        "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "zip": b"PK\x03\x04" + bytes(100),
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.",
        "hdf5 by its first bytes": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "utf-16": 'layer { name: "a" }'.encode("utf-16"),
        "zeros": bytes(1000),
        "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "html": b"<!DOCTYPE html>\n<html><body>404: Not Found</body></html>\n",
    }
    paths = []
    for name, content in others.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    for path in (*paths, tmp_path, tmp_path / "pipe", tmp_path / "missing", Path("/dev/zero")):
        for reader in READERS:
            with pytest.raises(CaffeportError):
                reader(path)


def test_net_and_weights_exchanged(golden: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"text file.*give the \.caffemodel"):
        open_weights(golden / "formats/v2/net.prototxt")
    with pytest.raises(UnreadableFile, match=r"give the \.prototxt"):
        read_net(golden / "formats/v2-hdf5/net.caffemodel.h5")


def test_hdf5_cut_short_or_flipped(golden: Path, tmp_path: Path) -> None:
    whole = (golden / "formats/v2-hdf5/net.caffemodel.h5").read_bytes()
    path = tmp_path / "cut.h5"
    for end in range(8, len(whole), 1511):
        path.write_bytes(whole[:end])
        read_all(path)
    for at in range(0, 4000, 41):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        read_all(path)

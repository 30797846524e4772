"""Weights out of every kind of file, beside what real Caffe loaded and what protobuf reads."""

from __future__ import annotations

import struct
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeport.caffe import blob as blob_module
from caffeport.caffe import weights as weights_module
from caffeport.caffe.blob import WireBlob
from caffeport.caffe.schema import Schema
from caffeport.caffe.weights import open_solverstate, open_weights, read_mean
from caffeport.caffe.wire import Wire
from caffeport.errors import CaffeportError, Refused, UnreadableFile

from .wiring import data, floats, layer, shape, sized, tag, varint

FORMATS = sorted(
    path.name for path in (Path(__file__).parents[2] / "golden/formats").iterdir() if path.name != "mean-file"
)


def weight_file(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.name.startswith("net.caffemodel"))


def blob_of(content: bytes) -> WireBlob:
    return WireBlob(Wire(content, "f"), 0, len(content), "blob")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_weights(golden: Path, name: str) -> None:
    reference = open_weights(golden / "formats/v2/net.caffemodel")
    found = open_weights(weight_file(golden / "formats" / name))
    assert set(found) >= set(reference)
    assert found.era == {"v0": "V0", "v1": "V1", "v2": "HDF5" if "hdf5" in name else "V2"}[name[:2]]
    for key, blobs in reference.items():
        assert len(found[key]) == len(blobs)
        for mine, wanted in zip(found[key], blobs, strict=True):
            assert mine.fits(wanted.shape)
            assert mine.legacy == ("legacy" in name or "training" in name)
            assert mine.has_diff == ("diffs" in name)
            assert mine.dtype == ("float64" if "double" in name else "float32")
            got = mine.numpy()
            assert got.dtype == mine.dtype
            assert got.flags.owndata or got.base is not None
            assert got.flags.writeable
            np.testing.assert_array_equal(got.reshape(wanted.shape), wanted.numpy())


@pytest.mark.parametrize("name", FORMATS)
def test_buffers_are_the_values_and_no_copy(golden: Path, name: str) -> None:
    for blobs in open_weights(weight_file(golden / "formats" / name)).values():
        for one in blobs:
            pieces = one.buffers()
            if any(word in name for word in ("double", "hdf5", "unpacked")):
                assert pieces is None
            else:
                assert pieces is not None
                assert len(pieces) > 1 if "split" in name and one.size > 100 else pieces
                joined = np.frombuffer(b"".join(pieces), "<f4").reshape(one.shape)
                np.testing.assert_array_equal(joined, one.numpy())


def test_gradients_are_reachable(golden: Path) -> None:
    blobs = open_weights(golden / "formats/v2-with-diffs/net.caffemodel")["conv1"]
    for one in blobs:
        gradient = one.diff()
        assert gradient is not None
        assert gradient.shape == one.shape
    assert open_weights(golden / "formats/v2/net.caffemodel")["conv1"][0].diff() is None


def test_types_are_as_written(golden: Path) -> None:
    for name, kind in (("v0-legacy-blobs", "conv"), ("v1-shape-blobs", "CONVOLUTION"), ("v2", "Convolution")):
        assert open_weights(golden / "formats" / name / "net.caffemodel").types["conv1"] == kind


def test_field_numbers_are_the_schemas() -> None:
    def number(message: str, field: str) -> int:
        return Schema.load().message(message).by_name[field].number

    module = weights_module
    assert tuple(number("NetParameter", field) for field in ("name", "layers", "layer")) == (
        module.NET_NAME,
        module.NET_LAYERS,
        module.NET_LAYER,
    )
    for era, message in (("V2", "LayerParameter"), ("V1", "V1LayerParameter"), ("V0", "V0LayerParameter")):
        for field in ("name", "type", "blobs"):
            assert getattr(module, f"{era}_{field.upper()}") == number(message, field)
    assert number("V1LayerParameter", "layer") == module.V1_NESTED
    for constant, field in (
        ("NUM", "num"), ("WIDTH", "width"), ("DATA", "data"), ("DIFF", "diff"), ("SHAPE", "shape"),
        ("DOUBLE", "double_data"), ("DOUBLE_DIFF", "double_diff"),
    ):  # fmt: skip
        assert getattr(blob_module, f"BLOB_{constant}") == number("BlobProto", field)
    for constant, field in (("ITER", "iter"), ("NET", "learned_net"), ("HISTORY", "history"), ("STEP", "current_step")):
        assert getattr(module, f"STATE_{constant}") == number("SolverState", field)


# ---- what a blob may look like ---------------------------------------------------------------------------------------


@given(st.lists(st.floats(width=32), max_size=60), st.lists(st.integers(0, 60), max_size=4), st.booleans())
def test_values_in_any_pieces(values: list[float], cuts: list[int], shape_last: bool) -> None:
    """Packed pieces and single values may alternate, the shape may stand anywhere."""
    edges = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    content = b""
    for k, (begin, end) in enumerate(pairwise(edges)):
        part = values[begin:end]
        content += data(part) if k % 2 else b"".join(tag(5, 5) + floats([value]) for value in part)
    content = content + shape(len(values)) if shape_last else shape(len(values)) + content
    blob = blob_of(content)
    assert blob.shape == (len(values),)
    np.testing.assert_array_equal(blob.numpy(), np.array(values, np.float32))


def test_legacy_axes_win_over_a_shape_and_fit_fewer_axes() -> None:
    axes = b"".join(tag(n, 0) + varint(dim) for n, dim in ((1, 1), (2, 1), (3, 2), (4, 3)))
    blob = blob_of(shape(6) + axes + data(range(6)))
    assert blob.shape == (1, 1, 2, 3)
    assert blob.legacy
    assert [blob.fits(s) for s in ((1, 1, 2, 3), (1, 2, 3), (2, 3), (6,), (1, 1, 1, 2, 3))] == [True] * 3 + [False] * 2
    plain = blob_of(shape(2, 3) + data(range(6)))
    assert plain.fits((2, 3))
    assert not plain.fits((1, 1, 2, 3))


def test_doubles_come_before_floats() -> None:
    blob = blob_of(shape(2) + data([1, 2]) + sized(8, struct.pack("<2d", 3, 4)))
    assert (blob.dtype, list(blob.numpy())) == ("float64", [3, 4])


@pytest.mark.parametrize(("code", "name", "raw"), [(0, "float64", "<2d"), (1, "float32", "<2f"), (2, "float16", "<2e")])
def test_nvcaffes_raw_data(code: int, name: str, raw: str) -> None:
    blob = blob_of(shape(2) + tag(10, 0) + varint(code) + sized(12, struct.pack(raw, 0.5, -2)))
    assert (blob.dtype, blob.numpy().tolist()) == (name, [0.5, -2])
    assert blob.numpy().dtype == ("float64" if code == 0 else "float32")


def test_a_scalar_and_an_empty_blob() -> None:
    assert blob_of(data([7])).numpy().shape == ()
    assert blob_of(shape(0, 3)).numpy().shape == (0, 3)


BROKEN = {
    "fewer values than the shape": shape(2, 3) + data([1, 2, 3]),
    "more values than the shape": shape(2) + data([1, 2, 3]),
    "no values": shape(2, 3),
    "a shape that overflows 64 bits": shape(2**33, 2**33, 2**33) + data([1]),
    "a product of 2 to the 64": shape(2**32, 2**32) + data([]),
    "a negative axis": shape(-1, -3) + data([1, 2, 3]),
    "33 axes": shape(*[1] * 33) + data([1]),
    "a thousand axes": sized(7, b"".join(tag(1, 0) + varint(1) for _ in range(1000))) + data([1]),
    "a packed array of 6 bytes": shape(2) + sized(5, b"123456"),
    "a number for values": shape(1) + tag(5, 0) + b"\1",
    "raw data of an unknown type": shape(1) + tag(10, 0) + varint(9) + sized(12, b"1234"),
    "raw halves of 3 bytes": shape(1) + tag(10, 0) + varint(2) + sized(12, b"123"),
    "gradients of another count": shape(1) + data([1]) + sized(6, floats([1, 2])),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_blobs_are_refused(what: str) -> None:
    with pytest.raises(UnreadableFile, match="blob"):
        blob_of(BROKEN[what]).numpy()


# ---- files -----------------------------------------------------------------------------------------------------------


def test_the_later_layer_of_a_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "twice.caffemodel"
    path.write_bytes(layer("a", shape(1) + data([1])) + layer("a", shape(1) + data([2])) + layer("bare"))
    found = open_weights(path)
    assert found["a"][0].numpy() == [2]
    assert list(found) == ["a"]
    assert [one.name for one in found.stored] == ["a", "a", "bare"]


def test_the_suffix_says_nothing(golden: Path, tmp_path: Path) -> None:
    for source, name in (("v2/net.caffemodel", "weights.h5"), ("v2-hdf5/net.caffemodel.h5", "snapshot_iter_10")):
        (tmp_path / name).write_bytes((golden / "formats" / source).read_bytes())
        assert set(open_weights(tmp_path / name)) == {"conv1", "conv2", "fc6", "fc8-euclidean"}


def test_other_files_are_named_for_what_they_are(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="mean file"):
        open_weights(golden / "formats/mean-file/mean.binaryproto")
    with pytest.raises(UnreadableFile, match="text file"):
        open_weights(golden / "formats/v2/net.prototxt")
    with pytest.raises(UnreadableFile, match="no solver state"):
        open_solverstate(golden / "formats/v2/net.caffemodel")
    with pytest.raises(CaffeportError):
        read_mean(golden / "formats/v2/net.caffemodel")
    (tmp_path / "name").write_bytes(sized(1, "only a name") + tag(7, 0) + b"\0")
    with pytest.raises(UnreadableFile, match="no layers"):
        open_weights(tmp_path / "name")


def test_mean_image(golden: Path) -> None:
    wanted = np.load(golden / "formats/mean-file/golden.npz")
    mean = read_mean(golden / "formats/mean-file/mean.binaryproto")
    assert mean.dtype == np.float32
    assert any(np.array_equal(mean, wanted[key].reshape(mean.shape)) for key in wanted.files)


def test_sha256_is_the_files(golden: Path) -> None:
    import hashlib

    path = golden / "formats/v2/net.caffemodel"
    assert open_weights(path).sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_opening_does_not_depend_on_the_size(tmp_path: Path) -> None:
    """228 MB as MemNet has them, sparse on the disk: opened, and every shape known, in about a millisecond."""
    path = tmp_path / "big.caffemodel"
    sizes = {"conv1": 34848, "conv2": 307200, "fc6": 37748736, "fc7": 16777216, "fc8": 4096, "rest": 2000000}
    with path.open("wb") as stream:
        for name, size in sizes.items():
            head = sized(1, name) + sized(2, "InnerProduct")
            blob = shape(size) + tag(5, 2) + varint(4 * size)
            inner = head + tag(7, 2) + varint(len(blob) + 4 * size) + blob
            stream.write(tag(100, 2) + varint(len(inner) + 4 * size) + inner)
            stream.seek(4 * size, 1)
        stream.truncate(stream.tell())
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        found = open_weights(path)
        assert {name: blobs[0].size for name, blobs in found.items()} == sizes
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.02


# ---- HDF5 ------------------------------------------------------------------------------------------------------------


def h5(path: Path) -> Any:
    return h5py.File(path, "w")


def test_hdf5_layer_names_may_nest_and_shared_blobs_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "n.h5"
    with h5(path) as root:
        root["data/inception/1x1/0"] = np.ones((2, 3), np.float32)
        root["data/inception/1x1/1"] = np.ones(2)
        root["data/half/1"] = np.zeros(4, np.float32)
        root.create_group("data/all_shared")
        root["diff/half/1"] = np.ones(4, np.float32)
    found = open_weights(path)
    assert set(found) == {"inception/1x1", "half"}
    assert [one.dtype for one in found["inception/1x1"]] == ["float32", "float64"]
    absent, own = found["half"]
    assert (absent.present, own.present, own.has_diff) == (False, True, True)
    gradient = own.diff()
    assert gradient is not None
    assert gradient.tolist() == [1] * 4
    with pytest.raises(Refused, match="not in the file"):
        absent.numpy()


def test_hostile_hdf5_goes_no_further_than_its_headers(tmp_path: Path) -> None:
    def external_link(root: Any) -> None:
        root["data/a/0"] = h5py.ExternalLink("/etc/passwd", "/x")

    def soft_link(root: Any) -> None:
        root["data/a/0"] = h5py.SoftLink("/data/b")

    def external_storage(root: Any) -> None:
        root.create_dataset("data/a/0", (4,), "f4", external=[("/etc/passwd", 0, 16)])

    def virtual(root: Any) -> None:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/other.h5", "x", shape=(4,))
        root.create_virtual_dataset("data/a/0", layout)

    def huge(root: Any) -> None:
        root.create_dataset("data/a/0", (2**40,), "f4", chunks=(1024,), compression="gzip")

    def strings(root: Any) -> None:
        root.create_dataset("data/a/0", (4,), h5py.string_dtype())

    def whole_numbers(root: Any) -> None:
        root["data/a/0"] = np.arange(4)

    def loop(root: Any) -> None:
        root["data/a/loop"] = root.create_group("data")

    def no_number(root: Any) -> None:
        root["data/a/weight"] = np.zeros(4, np.float32)

    def no_data(root: Any) -> None:
        root["features"] = np.zeros(4, np.float32)

    def dataset_for_data(root: Any) -> None:
        root["data"] = np.zeros(4, np.float32)

    for attack in (
        external_link, soft_link, external_storage, virtual, huge, strings, whole_numbers, loop, no_number, no_data,
        dataset_for_data,
    ):  # fmt: skip
        path = tmp_path / f"{attack.__name__}.h5"
        with h5(path) as root:
            attack(root)
        with pytest.raises(UnreadableFile, match=path.name):
            open_weights(path)


# ---- real models -----------------------------------------------------------------------------------------------------


def test_solver_states(shared: Path) -> None:
    for name, iteration, count in (
        ("lenet_v1/lenet_iter_10000.solverstate", 10000, 8),
        ("cifar10_full_h5/cifar10_full_iter_100000.solverstate.h5", 100000, 8),
    ):
        state = open_solverstate(shared / "models" / name)
        assert (state.iter, len(state.history), state.current_step) == (iteration, count, 0)
        assert Path(state.learned_net).name.startswith(name.rsplit("/", 1)[1].split(".")[0])
        assert all(np.isfinite(one.numpy()).all() for one in state.history)


def test_fp16_weights(shared: Path) -> None:
    """NVCaffe's halves as NumPy reads the same bytes."""
    for name in ("det1_half", "det2_half"):
        path = shared / f"models/mtcnn_nvcaffe_half/{name}.caffemodel"
        halves = [one for blobs in open_weights(path).values() for one in blobs if one.dtype == "float16"]
        assert halves
        content = path.read_bytes()
        for one in halves:
            values = one.numpy()
            assert values.dtype == np.float32
            assert values.astype("<f2").tobytes() in content
            assert 0 < np.abs(values).mean() < 10

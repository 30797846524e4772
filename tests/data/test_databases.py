"""LMDB and HDF5 sources, and what happens to records and files that lie."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterable
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffeport.caffe.net import parse_net
from caffeport.data import Hdf5Source, LmdbSource, PairedLmdb, batches, open_layer, open_source, parse_datum
from caffeport.errors import CaffeportError, Refused, UnreadableFile
from caffeport.transform import Crop, Preprocessing

GOLDEN = Path(__file__).parents[2] / "golden/transforms"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def datum(
    shape: tuple[int, int, int] = (0, 0, 0),
    data: bytes | None = None,
    label: int | None = None,
    floats: Iterable[float] = (),
    packed: bool = False,
    encoded: bool = False,
) -> bytes:
    out = b"".join(varint(number << 3) + varint(size) for number, size in zip((1, 2, 3), shape, strict=True))
    out += b"" if data is None else b"\x22" + varint(len(data)) + data
    out += b"" if label is None else b"\x28" + varint(label)
    raw = [struct.pack("<f", value) for value in floats]
    out += b"\x32" + varint(4 * len(raw)) + b"".join(raw) if packed else b"".join(b"\x35" + one for one in raw)
    return out + (b"\x38\x01" if encoded else b"")


def write(path: Path, records: dict[str, bytes]) -> Path:
    environment = lmdb.open(str(path), map_size=1 << 22)
    with environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key.encode(), value)
    environment.close()
    return path


floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(floats32, min_size=1, max_size=30), st.booleans(), st.integers(-(2**31), 2**31 - 1))
def test_float_datums(values: list[float], packed: bool, label: int) -> None:
    found = parse_datum(datum((1, 1, len(values)), label=label, floats=values, packed=packed), "x")
    np.testing.assert_array_equal(found.array().reshape(-1), np.array(values, np.float32))
    assert found.label == label


@given(st.binary(max_size=80))
def test_any_bytes_give_a_datum_or_our_error(value: bytes) -> None:
    try:
        parse_datum(value, "x").array()
    except CaffeportError:
        return


@pytest.mark.parametrize(
    "value",
    [
        datum((3, 4, 5), bytes(59)),
        datum((3, 4, 5), bytes(61)),
        datum((1 << 31, 1 << 31, 1 << 31), bytes(8)),
        datum((-1, -1, 8), bytes(8)),
        datum((0, 0, 0), b""),
        datum((1, 1, 3), floats=[1, 2]),
    ],
)
def test_a_datum_whose_shape_and_data_disagree(value: bytes) -> None:
    with pytest.raises(UnreadableFile, match=r"db: key 'a': claims .* values and holds"):
        parse_datum(value, "db: key 'a'").array()


def test_truncated_values_name_their_record(tmp_path: Path) -> None:
    good = datum((3, 4, 5), bytes(60), 7)
    source = LmdbSource(
        write(tmp_path / "db", {"a": good, "b": good[:30], "c": datum(data=b"\xff\xd8\xff", encoded=True)})
    )
    assert source.keys == ["a", "b", "c"]
    assert source[0].label == 7
    with pytest.raises(UnreadableFile, match="db: key 'b'"):
        source[1]
    with pytest.raises(UnreadableFile, match="db: key 'c'"):
        source[2].picture(Preprocessing())
    with pytest.raises(IndexError):
        source[3]


def test_sources_travel_to_other_processes() -> None:
    source = LmdbSource(GOLDEN / "lmdb-encoded")
    twin = pickle.loads(pickle.dumps(source))
    assert twin.labels() == source.labels() == [0, 3, 6, 9]
    np.testing.assert_array_equal(twin[-1].picture(Preprocessing()), source[3].picture(Preprocessing()))


def test_no_lmdb(tmp_path: Path) -> None:
    (tmp_path / "level").mkdir()
    (tmp_path / "level/CURRENT").touch()
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/data.mdb").write_bytes(os.urandom(8192))
    with pytest.raises(Refused, match="LevelDB"):
        LmdbSource(tmp_path / "level")
    for name in ("junk", "none"):
        with pytest.raises(UnreadableFile):
            LmdbSource(tmp_path / name)


def test_pictures_and_scores_side_by_side(tmp_path: Path) -> None:
    pictures = write(tmp_path / "pictures", {f"{n:08d}_p{n}.jpg": datum((3, 2, 2), bytes(12), 0) for n in range(3)})
    scores = write(tmp_path / "scores", {f"{n:08d}": datum((1, 1, 1), floats=[n / 4]) for n in range(3)})
    source = PairedLmdb(pictures, scores)
    assert source.labels() == [item.label for item in source] == [0.0, 0.25, 0.5]
    assert source[2].key == "00000002_p2.jpg"
    assert open_source(pictures, scores=scores).labels() == source.labels()
    (data, label), *_ = batches(source, Preprocessing(), 2)
    assert data.shape == (2, 3, 2, 2)
    assert label is not None
    assert label.tolist() == [0.0, 0.25]


def test_scores_that_do_not_fit(tmp_path: Path) -> None:
    pictures = write(tmp_path / "pictures", {f"{n:08d}": datum((3, 2, 2), bytes(12), 0) for n in range(2)})
    with pytest.raises(Refused, match="2 pictures and 1 scores"):
        PairedLmdb(pictures, write(tmp_path / "few", {"00000000": datum((1, 1, 1), floats=[1])}))
    with pytest.raises(Refused, match="'00000001' meets the score '00000007'"):
        PairedLmdb(pictures, write(tmp_path / "other", {"00000000": b"", "00000007": b""}))
    labels = write(tmp_path / "labels", {"00000000": datum(label=3), "00000001": datum((1, 1, 2), b"\x04\x05")})
    assert PairedLmdb(pictures, labels).labels() == [3.0, (4.0, 5.0)]
    with pytest.raises(UnreadableFile, match="holds no score"):
        PairedLmdb(pictures, write(tmp_path / "none", {"00000000": b"", "00000001": b""})).labels()


def test_hdf5_over_several_files(tmp_path: Path) -> None:
    for name, rows in (("a.h5", 2), ("b.h5", 3)):
        with h5py.File(tmp_path / name, "w") as file:
            file["data"] = np.full((rows, 2, 3), rows, np.float64)
            file["label"] = np.arange(rows)
    (tmp_path / "list.txt").write_text("a.h5\n\nb.h5\n")
    source = Hdf5Source(tmp_path / "list.txt")
    assert source.keys == ["a.h5:0", "a.h5:1", "b.h5:0", "b.h5:1", "b.h5:2"]
    assert source.labels() == [0, 1, 0, 1, 2]
    assert source[4].inputs(Preprocessing()).tolist() == [[[3.0] * 3] * 2]
    assert open_source(tmp_path / "list.txt").labels() == source.labels()
    assert len(open_source(tmp_path / "b.h5")) == 3


def test_hostile_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = file["label"] = np.zeros((2, 2))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["data"] = h5py.ExternalLink("secret.h5", "data")
        file["label"] = np.zeros(2)
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("data", (10**9, 1000), "f4", chunks=(1000, 1000))
        file.create_dataset("label", (10**9,), "f4", chunks=(1000,))
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["data"], file["label"] = np.zeros((2, 2)), np.zeros(3)
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file["data"], file["label"] = np.array([b"a", b"b"]), np.zeros(2)
    for name, message in [
        ("link", "no dataset 'data' of its own"),
        ("bomb", "claims 4000000000000 bytes"),
        ("rows", "differ in rows"),
        ("text", "rows of numbers"),
    ]:
        with pytest.raises(Refused, match=message):
            Hdf5Source(tmp_path / f"{name}.h5")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "secret.h5").read_bytes()[:100])
    for path in (tmp_path / "cut.h5", tmp_path / "none.h5"):
        with pytest.raises(UnreadableFile):
            Hdf5Source(path)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("type: 'Data' data_param { source: 'lmdb-raw' backend: LEVELDB batch_size: 1 }", "LEVELDB"),
        ("type: 'Data' data_param { source: 'lmdb-raw' backend: LMDB batch_size: 1 hue: 3 }", "hue"),
        ("type: 'ImageData' image_data_param { source: 'list.txt' new_height: 3 }", "both or none"),
        ("type: 'WindowData' window_data_param { source: 'x' }", "no data layer read here"),
        ("type: 'HDF5Data' top: 'x' hdf5_data_param { source: 'h5list.txt' batch_size: 1 }", "one for the data"),
    ],
)
def test_data_layers_that_are_refused(layer: str, message: str) -> None:
    net = parse_net(f"layer {{ name: 'data' top: 'data' top: 'label' {layer} }}").layers[0]
    with pytest.raises(Refused, match=message):
        open_layer(net.type, net.fields(), net.tops, folder=GOLDEN)


def test_training_phase_crops_at_random() -> None:
    own = "data_param { source: 'lmdb-raw' backend: LMDB batch_size: 2 rand_skip: 3 }"
    text = f"layer {{ name: 'd' type: 'Data' top: 'x' {own} transform_param {{ crop_size: 30 mirror: true }} }}"
    layer = parse_net(text, phase="TRAIN").layers[0]
    opened = open_layer(layer.type, layer.fields(), layer.tops, phase="TRAIN", folder=GOLDEN)
    assert opened.preprocessing == Preprocessing(colour="native", crop=Crop(30, 30, "random"), mirror="random")
    assert (opened.batch_size, opened.rand_skip) == (2, 3)

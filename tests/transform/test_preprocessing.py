from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffeport.caffe.fields import Fields
from caffeport.caffe.text import parse_text
from caffeport.errors import CaffeportError, Refused, UnreadableFile
from caffeport.transform import (
    Crop,
    MeanImage,
    Preprocessing,
    Resize,
    from_transform_param,
    load_mean,
    load_profile,
    plan_cuts,
    profile_names,
    with_flags,
)
from caffeport.transform.resize import METHODS, resize

sides = st.integers(1, 40)


@st.composite
def preprocessings(draw: st.DrawFn) -> Preprocessing:
    colour = draw(st.sampled_from(["color", "gray"]))
    channels = 3 if colour == "color" else 1
    mode = draw(st.sampled_from(["centre", "random", "ten"]))
    size = draw(st.none() | st.builds(Resize, sides, sides, st.sampled_from(METHODS)))
    crop = None
    if size is not None and draw(st.booleans()):
        crop = Crop(draw(st.integers(1, size.height)), draw(st.integers(1, size.width)), mode)
    mean = None
    if size is not None and draw(st.booleans()):
        mean = MeanImage(np.full((channels, size.height, size.width), draw(st.floats(0, 255, width=32)), np.float32))
    values = () if mean else tuple(draw(st.lists(st.floats(0, 255), max_size=1)))
    return Preprocessing(
        colour=colour,
        order=draw(st.sampled_from(["BGR", "RGB"])),
        exif=draw(st.booleans()),
        resize=size,
        value_range=draw(st.sampled_from([1.0, 255.0])),
        raw_scale=draw(st.floats(0.01, 300)),
        mean=mean,
        mean_values=values,
        scale=draw(st.floats(0.001, 10)),
        crop=crop,
        mirror="never" if crop and mode == "ten" else draw(st.sampled_from(["never", "random", "always"])),
    )


@given(preprocessings())
@settings(max_examples=60, deadline=None)
def test_survives_json_pickle_and_printing(prep: Preprocessing) -> None:
    plain = json.loads(json.dumps(prep.to_dict()))
    assert Preprocessing.from_dict(plain, prep.means()) == prep
    assert pickle.loads(pickle.dumps(prep)) == prep
    assert hash(prep) == hash(pickle.loads(pickle.dumps(prep)))
    assert str(prep).startswith("decode: ")


@given(preprocessings(), sides, sides, st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_shape_is_as_announced(prep: Preprocessing, height: int, width: int, seed: int) -> None:
    channels = 3 if prep.colour == "color" else 1
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    out = prep(picture, np.random.default_rng(seed))
    assert out.dtype == np.float32
    assert out.shape == (prep.crops, channels, *(prep.input_size or (height, width)))
    assert np.isfinite(out).all()


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_crops_lie_inside_the_picture(height: int, width: int, data: st.DataObject) -> None:
    crop = Crop(
        data.draw(st.integers(1, height)),
        data.draw(st.integers(1, width)),
        data.draw(st.sampled_from(["centre", "random", "ten"])),
        data.draw(st.sampled_from(["down", "up"])),
    )
    for cut in plan_cuts(Preprocessing(crop=crop), height, width, np.random.default_rng(0)):
        assert 0 <= cut.top <= height - cut.height
        assert 0 <= cut.left <= width - cut.width


@pytest.mark.parametrize(
    "bad",
    [
        {"colour": "colour"},
        {"order": "rgb"},
        {"mirror": "yes"},
        {"raw_scale": 0.0},
        {"scale": float("nan")},
        {"value_range": 2.0},
        {"mean_values": (1.0, 2.0)},
        {"mean_values": (float("inf"),)},
        {"crop": Crop(2, 2, "ten"), "mirror": "random"},
        {"mean_values": (1.0,), "mean": MeanImage(np.zeros((3, 2, 2), np.float32))},
        {"colour": "gray", "mean": MeanImage(np.zeros((3, 2, 2), np.float32))},
    ],
)
def test_contradictions_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        Preprocessing(**bad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format"),
        ({"colr": "gray"}, "unknown key 'colr'"),
        ({"scale": "1"}, "scale is '1'"),
        ({"scale": True}, "scale is True"),
        ({"crop": {"height": 2}}, "lacks 'width'"),
        ({"resize": [2, 2]}, "resize: is"),
        ({"mean_values": "104"}, "list of numbers"),
        ({"mean": {"sha256": "ab", "shape": [3, 2, 2]}}, "the mean image ab is missing"),
    ],
)
def test_from_dict_checks_what_it_reads(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        Preprocessing.from_dict(Preprocessing().to_dict() | change)


def test_a_mean_image_is_known_by_its_content() -> None:
    mean = MeanImage(np.ones((3, 2, 2), np.float32))
    prep = Preprocessing(mean=mean)
    with pytest.raises(Refused, match="other content"):
        Preprocessing.from_dict(prep.to_dict(), {mean.sha256: np.zeros((3, 2, 2), np.float32)})
    assert mean == MeanImage(np.ones((3, 2, 2), ">f4"))
    assert mean != MeanImage(np.ones((3, 4, 1), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        mean.array[0] = 2


def test_chance_needs_a_generator_and_still_takes_it_away() -> None:
    prep = Preprocessing(crop=Crop(2, 3, "random"), mirror="random")
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    with pytest.raises(Refused, match="still"):
        prep(picture)
    np.testing.assert_array_equal(prep.still()(picture)[0], picture.transpose(2, 0, 1)[:, 1:3, 1:4])
    seen = {prep(picture, np.random.default_rng(seed)).tobytes() for seed in range(200)}
    assert len(seen) == 3 * 3 * 2  # every place, both ways


def test_crop_larger_than_the_picture_and_wrong_mean_size() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    with pytest.raises(Refused, match="a crop of 6 x 2 out of a picture of 4 x 5"):
        Preprocessing(crop=Crop(6, 2))(picture)
    with pytest.raises(Refused, match="mean image of 3 x 5 x 4"):
        Preprocessing(mean=MeanImage(np.zeros((3, 5, 4), np.float32)))(picture)
    with pytest.raises(Refused, match="2 channels"):
        Preprocessing()(picture[:, :, :2])


@pytest.mark.parametrize("method", METHODS)
def test_resizing_a_constant_or_to_the_same_size_changes_nothing(method: str) -> None:
    flat = np.full((7, 5, 3), 9, np.uint8)
    np.testing.assert_array_equal(resize(flat, 3, 11, method), np.full((3, 11, 3), 9))
    noise = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(resize(noise, 7, 5, method), noise)


def fields(text: str) -> Fields:
    return Fields(parse_text(text), "TransformationParameter", "net.prototxt:1: layer 'data' (Data)")


def test_transform_param(tmp_path: Path) -> None:
    prep = from_transform_param(fields("crop_size: 5 mirror: true mean_value: [1, 2, 3] scale: 0.5"), phase="TRAIN")
    assert prep == Preprocessing(crop=Crop(5, 5, "random"), mirror="random", mean_values=(1, 2, 3), scale=0.5)
    assert from_transform_param(fields("force_gray: true"), colour="native").colour == "gray"
    for text, message in [
        ("mean_file: 'm' mean_value: 3", "both set"),
        ("force_gray: true force_color: true", "both set"),
        ("crop_h: 3", "crop_h"),
    ]:
        with pytest.raises(Refused, match=message):
            from_transform_param(fields(text), folder=tmp_path)


def test_flags() -> None:
    base = load_profile("memnet").preprocessing(published_mean=True)
    assert with_flags(base, crops=1).crop == Crop(227, 227, "centre", "up")
    assert with_flags(base, {"crops": "10", "centre": "down"}).crop == Crop(227, 227, "ten", "down")
    assert with_flags(None, crop="20x30", crops="10").crop == Crop(20, 30, "ten")
    assert with_flags(base, crop="none", resize="227x300").resize == Resize(227, 300)
    assert with_flags(base, resize_method="pillow").resize == Resize(256, 256, "pillow")
    assert with_flags(base, mean_values="1,2,3", raw_scale="2").mean_values == (1.0, 2.0, 3.0)
    assert with_flags(base, mean="none").mean_values == ()
    assert with_flags(base, mean=np.ones((3, 256, 256))).mean == MeanImage(np.ones((3, 256, 256), np.float32))
    assert with_flags(base, order=None) == base
    for bad in ({"crops": 5}, {"resize": "big"}, {"means": 1}, {"scale": "x"}, {"mean": "none", "mean_values": "1"}):
        with pytest.raises(Refused):
            with_flags(base, bad)
    with pytest.raises(Refused, match="without a crop"):
        with_flags(None, crops=10)


def test_profiles() -> None:
    assert profile_names() == ("caffenet", "memnet", "memnet-pycaffe", "resmem")
    memnet = load_profile("memnet")
    with pytest.raises(Refused, match=r"needs the model's mean image.*104\.917"):
        memnet.preprocessing()
    assert memnet.preprocessing(published_mean=True).mean_values == (104.917, 114.779, 118.355)
    scores = np.array([0.0, 0.7626, 0.8, 2.0])
    np.testing.assert_allclose(memnet.output("memorability")(scores), [0, 0.65, 0.7248, 1])
    assert memnet.output("memorability")(5.0) == 1.0
    assert memnet.output()(0.123) == 0.123
    with pytest.raises(Refused, match="memorability"):
        memnet.output("score")
    assert load_profile("caffenet").preprocessing().mean_values == (104.0069879, 116.6687676, 122.6789143)
    resmem = load_profile("resmem").preprocessing()
    out = resmem(np.full((30, 20, 3), (255, 0, 51), np.uint8))
    np.testing.assert_allclose(out[0, :, 0, 0], [0.2, 0, 1])
    assert out.shape == (1, 3, 227, 227)


def test_users_own_profile(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('name = "mine"\nbase = "memnet"\n[preprocessing]\nmean = "values"\ncrop = { mode = "centre" }\n')
    profile = load_profile(mine)
    assert profile.preprocessing().crop == Crop(227, 227, "centre", "up")
    assert profile.output("memorability").add == 0.65
    for text, message in [
        ('name = "a b"', "name"),
        ('name = "x"\ncolor = 1', "unknown key 'color'"),
        ('name = "x"\n[preprocessing]\nresize = 3', "resize"),
        ('name = "x"\n[preprocessing]\nmean = "maybe"', "mean is 'maybe'"),
        ('name = "x"\nbase = "mine.toml"', "its own base"),
        ('name = "x"\n[outputs.y]\nadd = "1"', "add is '1'"),
        ("name = ", "no TOML"),
    ]:
        mine.write_text(text)
        with pytest.raises(CaffeportError, match=message):
            load_profile(mine)
    with pytest.raises(Refused, match="memnet"):
        load_profile("memnett")
    with pytest.raises(UnreadableFile):
        load_profile(tmp_path / "none.toml")


def test_mean_files(tmp_path: Path) -> None:
    import scipy.io

    mean = np.random.default_rng(0).random((3, 4, 5), np.float32)
    np.save(tmp_path / "chw.npy", mean)
    np.save(tmp_path / "hwc.npy", mean.transpose(1, 2, 0))
    np.savez(tmp_path / "two.npz", a=mean, b=mean)
    scipy.io.savemat(tmp_path / "image_mean.mat", {"image_mean": mean.transpose(1, 2, 0)})
    scipy.io.savemat(tmp_path / "mean_data.mat", {"mean_data": mean.transpose(2, 1, 0), "x": np.ones(3)})
    for name in ("chw.npy", "hwc.npy", "image_mean.mat", "mean_data.mat"):
        assert load_mean(tmp_path / name) == MeanImage(mean), name
    assert load_mean(tmp_path / "two.npz", variable="b") == MeanImage(mean)
    np.save(tmp_path / "cube.npy", np.zeros((3, 4, 3), np.float32))
    np.save(tmp_path / "pixel.npy", np.zeros(3, np.float32))
    np.save(tmp_path / "nan.npy", np.full((3, 2, 2), np.nan, np.float32))
    for name, message in [
        ("two.npz", "name one"),
        ("cube.npy", "which axis"),
        ("pixel.npy", "three axes"),
        ("nan.npy", "NaN"),
    ]:
        with pytest.raises(Refused, match=message):
            load_mean(tmp_path / name)


def test_hostile_mean_files(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "p.npz", a=np.array([{}], object), allow_pickle=True)
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 99999, 99999), }"
    (tmp_path / "lie.npy").write_bytes(header.ljust(127) + b"\n" + bytes(100))
    for name, data in [("cut.npz", b"PK\x03\x04abc"), ("cut.mat", b"MATLAB 5.0 MAT-file"), ("cut.npy", b"\x93NUMPY")]:
        (tmp_path / name).write_bytes(data)
    (tmp_path / "empty.binaryproto").touch()
    for name in ("p.npy", "p.npz", "lie.npy", "cut.npz", "cut.mat", "cut.npy", "empty.binaryproto", "missing.npy"):
        with pytest.raises(CaffeportError):
            load_mean(tmp_path / name)


def test_sizes_that_no_picture_could_have_are_refused_at_once() -> None:
    size, crop = Resize(40, 50), Crop(30, 35)
    with pytest.raises(Refused, match="a crop of 41 x 35 out of pictures of 40 x 50"):
        Preprocessing(resize=size, crop=Crop(41, 35))
    for height, width in ((40, 50), (30, 35)):
        mean = MeanImage(np.zeros((3, height, width), np.float32))
        assert Preprocessing(resize=size, crop=crop, mean=mean).mean == mean
    with pytest.raises(Refused, match=r"a mean image of 3 x 1 x 1; 40 x 50 \(the resized picture\) or 30 x 35"):
        Preprocessing(resize=size, crop=crop, mean=MeanImage(np.zeros((3, 1, 1), np.float32)))


def test_a_profile_takes_mean_and_sizes_together() -> None:
    mean = np.zeros((3, 128, 128), np.float32)
    prep = load_profile("memnet").preprocessing(mean, resize="128", crop="112")
    assert prep.mean is not None
    assert (prep.mean.shape, prep.input_size, prep.crops) == ((3, 128, 128), (112, 112), 10)

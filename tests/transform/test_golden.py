"""What real Caffe computed: every data layer bit by bit, pycaffe's Transformer and oversample, MemNet's ten crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffeport.caffe.net import parse_net
from caffeport.data import batches, open_layer
from caffeport.transform import Crop, MeanImage, Preprocessing, Resize, decode, load_profile, prepare, sized
from caffeport.transform.resize import resize

GOLDEN = Path(__file__).parents[2] / "golden"
TRANSFORMS = GOLDEN / "transforms"
CASES = sorted(path.name for path in TRANSFORMS.glob("case-*"))


def test_no_case_is_missing() -> None:
    assert len(CASES) == 14


@pytest.mark.parametrize("case", CASES)
def test_data_layer_is_bit_equal_to_caffe(case: str) -> None:
    net = parse_net((TRANSFORMS / case / "net.prototxt").read_text(), case)
    layer = net.layers[0]
    opened = open_layer(layer.type, layer.fields(), layer.tops, folder=TRANSFORMS)
    golden = np.load(TRANSFORMS / case / "golden.npz")
    made = batches(opened.source, opened.preprocessing, opened.batch_size, count=2)
    for number, (data, label) in enumerate(made):
        np.testing.assert_array_equal(data, golden[f"data/{number}"])
        np.testing.assert_array_equal(label, golden[f"label/{number}"])


def picture() -> np.ndarray:
    return decode((TRANSFORMS / "images/p1.png").read_bytes())


MEAN = (104.0, 117.0, 123.0)
PYCAFFE = {
    "bgr255": Preprocessing(value_range=1, raw_scale=255),
    "bgr255_mean": Preprocessing(value_range=1, raw_scale=255, mean_values=MEAN),
    "bgr255_mean_scaled": Preprocessing(value_range=1, raw_scale=255, mean_values=MEAN, scale=0.017),
}


@pytest.mark.parametrize("case", PYCAFFE)
def test_transformer(case: str) -> None:
    golden = np.load(TRANSFORMS / "pycaffe.npz")[case]
    np.testing.assert_allclose(prepare(PYCAFFE[case], picture())[0], golden, rtol=1e-6, atol=1e-6)


def test_resize_image_and_oversample() -> None:
    golden = np.load(TRANSFORMS / "pycaffe.npz")
    resized = resize(picture()[:, :, ::-1].astype(np.float32) / np.float32(255), 64, 64, "pycaffe")
    np.testing.assert_allclose(resized.astype(np.float32), golden["resize_order1_64"], rtol=0, atol=1e-6)
    prep = Preprocessing(order="RGB", value_range=1, resize=Resize(64, 64, "pycaffe"), crop=Crop(48, 48, "ten"))
    np.testing.assert_allclose(prep(picture()).transpose(0, 2, 3, 1), golden["oversample_48"], rtol=0, atol=1e-6)


def test_every_byte_becomes_the_same_unit_value_as_in_pycaffe() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    ours = Preprocessing(colour="gray", value_range=1)(values)
    np.testing.assert_array_equal(ours.reshape(-1), (np.arange(256) / 255.0).astype(np.float32))


def test_memnet_predict() -> None:
    golden = np.load(GOLDEN / "memnet-predict/golden.npz")
    prep = load_profile("memnet-pycaffe").preprocessing(mean=GOLDEN / "memnet-predict/mean.binaryproto")
    data = (GOLDEN / "memnet-predict/image.png").read_bytes()
    np.testing.assert_array_equal(sized(prep, decode(data)), golden["resized_bgr"])
    crops = prep(data)
    assert crops.shape == (10, 3, 227, 227)
    sample = crops.reshape(-1)[np.linspace(0, crops.size - 1, 4096).astype(int)]
    np.testing.assert_array_equal(sample, golden["crop_sample"])
    np.testing.assert_array_equal(crops.reshape(10, -1).mean(1, dtype=np.float64), golden["crop_means"])


def test_memnet_profile_differs_from_pycaffe_in_the_centre_crop_only() -> None:
    mean = GOLDEN / "memnet-predict/mean.binaryproto"
    data = (GOLDEN / "memnet-predict/image.png").read_bytes()
    lab, pycaffe = (load_profile(name).preprocessing(mean=mean)(data) for name in ("memnet", "memnet-pycaffe"))
    same = [bool((a == b).all()) for a, b in zip(lab, pycaffe, strict=True)]
    assert same == [True, True, True, True, False] * 2


def test_mean_of_the_crop_is_not_mirrored_with_it() -> None:
    """pycaffe subtracts a mean of the crop's size after the crop and its mirror; DataTransformer's is cut with it."""
    rng = np.random.default_rng(0)
    image, mean = rng.integers(0, 256, (5, 6, 3), np.uint8), rng.random((3, 3, 4), np.float32)
    crop = Crop(3, 4, "ten")
    plain = Preprocessing(crop=crop)(image)
    np.testing.assert_array_equal(Preprocessing(crop=crop, mean=MeanImage(mean))(image), plain - mean)
    whole = rng.random((3, 5, 6), np.float32)
    expected = Preprocessing(crop=crop)(image.astype(np.float32) - whole.transpose(1, 2, 0))
    np.testing.assert_array_equal(Preprocessing(crop=crop, mean=MeanImage(whole))(image), expected)

"""The preprocessing inside ONNX: resizes bit by bit, whole models to 1e-4, and what cannot go inside is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from caffeport.artefacts.onnx import make
from caffeport.artefacts.recipe import Recipe
from caffeport.emit.onnx_resize import Nodes, resize_opencv, resize_pillow
from caffeport.errors import CaffeportError
from caffeport.port import Port, open_port
from caffeport.transform import Crop, MeanImage, OutputMap, Preprocessing, Resize

TINY = Path(__file__).parents[2] / "golden" / "formats" / "v1-legacy-blobs"
MEAN = MeanImage(np.random.default_rng(5).uniform(90, 130, (3, 41, 47)).astype(np.float32))
CROP_MEAN = MeanImage(MEAN.array[:, :35, :35])
TEN = Preprocessing(resize=Resize(41, 47), mean=MEAN, scale=0.017, crop=Crop(35, 35, "ten", "up"))


def session(model: onnx.ModelProto) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def resizer(resize: Callable[..., str], size: tuple[int, int], layout: str) -> Any:
    nodes = Nodes({"picture"})
    made = nodes.cast(resize(nodes, "picture", size, (0, 1) if layout == "hwc" else (2, 3)), TensorProto.UINT8)
    sides = [None] * (3 if layout == "hwc" else 4)
    graph = helper.make_graph(
        nodes.nodes,
        "resize",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, sides)],
        [helper.make_tensor_value_info(made, TensorProto.UINT8, None)],
        list(nodes.constants.values()),
    )
    return session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def by_opencv(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))


def by_pillow(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """In two calls: along the rows first, as every Pillow before 13 does it in one."""
    image = Image.fromarray(picture).resize((width, picture.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(("ours", "theirs"), [(resize_opencv, by_opencv), (resize_pillow, by_pillow)])
@pytest.mark.parametrize("layout", ["hwc", "nchw"])
def test_resize_is_bit_equal(ours: Callable[..., str], theirs: Callable[..., np.ndarray], layout: str) -> None:
    size, rng = (61, 43), np.random.default_rng(3)
    runner = resizer(ours, size, layout)
    odd = [(1, 1), (2, 3), (61, 43), (122, 86), (30, 21), (1, 500), (500, 1), (61, 500), (300, 43), (1000, 999)]
    for height, width in (*odd, *rng.integers(1, 300, (30, 2)).tolist()):
        picture = rng.integers(0, 256, (height, width, 3), np.uint8)
        if layout == "hwc":
            (found,) = runner.run(None, {"picture": picture})
        else:
            fed = np.ascontiguousarray(np.stack([picture, picture[::-1]]).transpose(0, 3, 1, 2))
            found = runner.run(None, {"picture": fed})[0][0].transpose(1, 2, 0)
        np.testing.assert_array_equal(found, theirs(picture, *size), err_msg=f"{height} x {width}")


def port(prep: Preprocessing, pictures: tuple[str, str] | None = ("hwc", "raw")) -> Port:
    half = OutputMap("half", subtract=1, multiply=0.5, add=0.25, low=-0.5, high=0.5)
    found = open_port(TINY / "net.prototxt", TINY / "net.caffemodel")
    return replace(found, recipe=Recipe(prep, (half,)), pictures=pictures)


def noise(count: int, size: tuple[int, int] | None = None) -> list[np.ndarray]:
    """BGR pictures of odd sizes."""
    rng = np.random.default_rng(9)
    sizes = [size or tuple(2 * side + 1 for side in rng.integers(3, 250, 2)) for _ in range(count)]
    return [rng.integers(0, 256, (*one, 3), np.uint8) for one in sizes]


SETTINGS = {
    "ten": TEN,
    "centre": replace(TEN, crop=Crop(35, 35)),
    "mirrored": replace(TEN, crop=Crop(35, 35), mirror="always"),
    "values, RGB": replace(TEN, mean=None, mean_values=(100, 110.5, 120), order="RGB", raw_scale=1.7),
    "one value": replace(TEN, mean=None, mean_values=(100,), value_range=1.0, raw_scale=255),
    "mean of the crop": replace(TEN, mean=CROP_MEAN),
    "no crop": Preprocessing(resize=Resize(35, 35)),
    "nothing": replace(TEN, mean=None, scale=1.0),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_the_python_path_on_twenty_pictures(name: str) -> None:
    prep = SETTINGS[name]
    front, bare = session(make(port(prep))), session(make(port(prep, None)))
    assert [one.name for one in front.get_outputs()] == ["score", "fc8-euclidean"]
    for picture in noise(20):
        (wanted,) = bare.run(None, {"data": prep(picture)})
        score, crops = front.run(None, {"picture": np.ascontiguousarray(picture[:, :, ::-1])})
        scale = np.abs(wanted).max()
        assert score.shape == (1, 1)
        np.testing.assert_allclose(crops, wanted, atol=1e-6 * scale)
        np.testing.assert_allclose(score[0], wanted.mean(0), atol=1e-6 * scale)


def test_a_batch_of_pictures_and_an_output_map() -> None:
    front, bare = session(make(port(TEN, ("nchw", "half")))), session(make(port(TEN, None)))
    pictures = noise(3, (77, 51))
    fed = np.ascontiguousarray(np.stack(pictures)[:, :, :, ::-1].transpose(0, 3, 1, 2))
    score, crops = front.run(None, {"picture": fed})
    wanted = np.stack([bare.run(None, {"data": TEN(picture)})[0] for picture in pictures])
    np.testing.assert_allclose(crops.reshape(wanted.shape), wanted, rtol=1e-4)
    np.testing.assert_allclose(score, ((wanted.mean(1) - 1) * 0.5 + 0.25).clip(-0.5, 0.5), rtol=1e-4)


def test_without_a_resize_the_picture_has_the_nets_size() -> None:
    prep = Preprocessing(mean_values=(1, 2, 3))
    model = make(port(prep))
    sides = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides == [35, 35, 3]
    (picture,) = noise(1, (35, 35))
    (wanted,) = session(make(port(prep, None))).run(None, {"data": prep(picture)})
    _, crops = session(model).run(None, {"picture": np.ascontiguousarray(picture[:, :, ::-1])})
    np.testing.assert_allclose(crops, wanted, rtol=1e-4)


def test_the_model_is_valid_and_its_names_are_caffes() -> None:
    model = make(port(TEN))
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 17
    made = {name for node in model.graph.node for name in node.output}
    assert {"data", "conv1", "pool1", "fc6", "fc8-euclidean", "score"} <= made


@pytest.mark.parametrize(
    ("prep", "sentence"),
    [
        (replace(TEN, crop=Crop(33, 35)), r"gives \[3, 33, 35\]"),
        (replace(TEN, exif=True), "EXIF"),
        (replace(TEN, resize=Resize(41, 47, "pycaffe")), "pycaffe"),
        (Preprocessing(crop=Crop(35, 35)), "a resize comes first"),
    ],
)
def test_what_cannot_go_inside_is_refused(prep: Preprocessing, sentence: str) -> None:
    with pytest.raises(CaffeportError, match=sentence):
        make(port(prep))

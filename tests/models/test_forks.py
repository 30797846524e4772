"""Real models of forks: what SSD's Caffe gave for a face detector, faces found, and nets of waifu2x and NVCaffe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffeport.caffe.net import read_net
from caffeport.emit.torch import module
from caffeport.graph import build
from caffeport.port import Port, open_port
from caffeport.verify.backends import Onnx, Torch

FACES = "libfacedetection_v2/yufacedetectnet-open-v2"


def faces_port(shared: Path) -> Port:
    return open_port(shared / "models" / f"{FACES}.prototxt", shared / "models" / f"{FACES}.caffemodel")


@pytest.mark.parametrize("backend", ["module", "source", "onnx"])
def test_face_detector_gives_what_ssds_caffe_gave(shared: Path, backend: str) -> None:
    port = faces_port(shared)
    with np.load(shared / "models" / "libfacedetection_v2" / "ref_yufacedetectnet-open-v2.caffemodel.npz") as data:
        recorded = dict(data)
    drawn = np.random.RandomState(0).standard_normal(tuple(recorded["input_shape"]))
    x = np.asarray(recorded["input_scale"] * drawn, np.float32)
    state = port.arrays()
    runner = Onnx(port.graph, state) if backend == "onnx" else Torch(port.graph, state, standalone=backend == "source")
    tops = runner.chain({"data": x})
    by_name = {value.name: tops[node.index, k] for node in port.graph.nodes for k, value in enumerate(node.tops)}
    np.testing.assert_allclose(by_name["detection_out"], recorded["out:detection_out"], rtol=0, atol=1e-4)
    for name in (name for name in recorded if name.startswith("absmean:") and name[8:] in by_name):
        own = np.abs(by_name[name[8:]]).mean(dtype=np.float64)
        assert own == pytest.approx(float(recorded[name]), rel=1e-4), name


@pytest.mark.parametrize(("picture", "faces"), [("mtcnn/test1.jpg", 2), ("mtcnn/test2.jpg", 1), ("images/cat.jpg", 0)])
@pytest.mark.parametrize("backend", ["module", "onnx"])
def test_faces_are_found(shared: Path, picture: str, faces: int, backend: str) -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = cv2.resize(cv2.imread(str(shared / "models" / picture)), (320, 240))
    x = (pixels.astype(np.float32) - np.array([104, 117, 123], np.float32)).transpose(2, 0, 1)[None]
    port = faces_port(shared)
    runner = Onnx(port.graph, port.arrays()) if backend == "onnx" else Torch(port.graph, port.arrays())
    node = port.graph.nodes[-1]
    rows = runner.chain({"data": x})[node.index, 0][0, 0]
    assert int((rows[:, 2] > 0.9).sum()) == faces


@pytest.mark.parametrize("model", ["scale2.0x_model", "noise1_scale2.0x_model"])
def test_upresnet_doubles_a_picture(shared: Path, model: str) -> None:
    folder = shared / "models" / "waifu2x_upresnet10"
    port = open_port(folder / f"{model}.prototxt", folder / f"{model}.json.caffemodel")
    state = port.arrays()
    # A smooth picture, 90 x 90; the net takes 13 pixels off each side before it doubles what is left.
    y, x = np.mgrid[:90, :90] / 90
    picture = np.stack([y, x, (y + x) / 2])[None].astype(np.float32)
    tops = Torch(port.graph, state, standalone=True).chain({"input": picture})
    place = max(tops)
    got = tops[place][0]
    wanted = picture[0, :, 13:-13, 13:-13].repeat(2, 1).repeat(2, 2)
    assert got.shape == (3, 128, 128)
    assert np.abs(got - wanted).mean() < 0.02
    np.testing.assert_allclose(Onnx(port.graph, state).chain({"input": picture})[place][0], got, atol=1e-4)


@pytest.mark.parametrize("net", ["det1", "det1_", "det2", "det3", "det3-half"])
def test_nvcaffes_mtcnn_nets_build(shared: Path, net: str) -> None:
    graph = build(read_net(shared / "models" / "mtcnn_nvcaffe_half" / f"{net}.prototxt"))
    assert {value.shape[1] for value in graph.outputs} >= {2, 4}


#: Squares of mtcnn/test1.jpg and test2.jpg as (picture, left, top, side, whether a face is in it).
SQUARES = [("test1.jpg", 81, 19, 82, True), ("test2.jpg", 174, 66, 203, True), ("test1.jpg", 0, 172, 137, False)]


@pytest.mark.parametrize(("net", "side"), [("det1", 12), ("det2", 24)])
def test_nvcaffes_half_precision_weights_tell_faces_as_the_floats_do(shared: Path, net: str, side: int) -> None:
    cv2 = pytest.importorskip("cv2")
    folder = shared / "models"
    half = open_port(
        folder / f"mtcnn_nvcaffe_half/{net}.prototxt", folder / f"mtcnn_nvcaffe_half/{net}_half.caffemodel"
    )
    whole = open_port(folder / f"mtcnn/{net}.prototxt", folder / f"mtcnn/{net}.caffemodel")
    stored = [array for array in half.arrays().values() if array.ndim > 1]
    assert all(np.array_equal(array, array.astype(np.float16).astype(np.float32)) for array in stored)
    for picture, left, top, size, face in SQUARES:
        pixels = cv2.imread(str(folder / "mtcnn" / picture))[top : top + size, left : left + size]
        x = ((cv2.resize(pixels, (side, side)).astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        # The nets of 2016 were trained on RGB and on pictures laid out by columns, NVCaffe's on BGR and rows.
        for port, fed in ((half, x), (whole, np.ascontiguousarray(x[:, ::-1].swapaxes(2, 3)))):
            state = {name: torch.from_numpy(array) for name, array in port.arrays().items()}
            with torch.no_grad():
                share = module(port.graph, state)(torch.from_numpy(fed))["prob1"].flatten()[1]
            assert share > 0.95 if face else share < 0.05


def test_a_half_precision_file_alone_gives_its_net(shared: Path) -> None:
    port = open_port(None, shared / "models" / "mtcnn_nvcaffe_half" / "det2_half.caffemodel")
    assert port.graph.inputs[0].shape[1:] == (3, 24, 24)

"""Real models made by others: their known accuracies, and real Caffe's outputs for a drawn input.

The files are not part of the project; the tests skip where they are absent.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from caffeport.emit.torch import module
from caffeport.port import Port, open_port
from caffeport.verify.backends import Onnx, Torch

#: reference -> its net, in shared/models. Weights are named by the reference.
REFERENCES = {
    "cifar10_full_h5/ref_cifar10_full_iter_100000.caffemodel.h5.npz": "cifar10_full.prototxt",
    "cifar10_quick_v1/ref_cifar10_quick_iter_5000.caffemodel.npz": "cifar10_quick.prototxt",
    "deepface_lrn/ref_snapshot_iter_100000.caffemodel.npz": "deploy.prototxt",
    "lenet_v1/ref_lenet_iter_10000.caffemodel.npz": "lenet.prototxt",
    "lenet_v2/ref_lenet_iter_10000.caffemodel.npz": "lenet.prototxt",
    "mtcnn/ref_det1.caffemodel.npz": "det1.prototxt",
    "mtcnn/ref_det2.caffemodel.npz": "det2.prototxt",
    "mtcnn/ref_det3.caffemodel.npz": "det3.prototxt",
    "mtcnn/ref_det4.caffemodel.npz": "det4.prototxt",
    "mtcnn_nvcaffe_half/ref_det1_.caffemodel.npz": "det1_.prototxt",
    "mtcnn_nvcaffe_half/ref_det3-half.caffemodel.npz": "det3-half.prototxt",
    "squeezenet_deepcompressed/ref_squeezenet_v1.0_decoded.caffemodel.npz": "SqueezeNet_deploy.prototxt",
    "vdsr/ref_VDSR_Adam.caffemodel.npz": "VDSR_net_deploy.prototxt",
    "waifu2x_anime_style_art/ref_noise1_model.json.caffemodel.npz": "noise1_model.prototxt",
    "yoloface_landmark106/ref_landmark106.caffemodel.npz": "landmark106.prototxt",
}


def open_reference(shared: Path, reference: str) -> tuple[Port, dict[str, np.ndarray]]:
    file = shared / "models" / reference
    with np.load(file) as data:
        recorded = dict(data)
    return open_port(file.parent / REFERENCES[reference], file.parent / file.name[4:-4]), recorded


def drawn_input(recorded: dict[str, np.ndarray]) -> np.ndarray:
    """The input that the reference was recorded with."""
    drawn = np.random.RandomState(0).standard_normal(tuple(recorded["input_shape"]))
    return np.asarray(recorded["input_scale"] * drawn, np.float32)


@pytest.mark.parametrize("backend", ["source", "onnx"])
@pytest.mark.parametrize("reference", REFERENCES)
def test_real_caffes_outputs(shared: Path, reference: str, backend: str) -> None:
    port, recorded = open_reference(shared, reference)
    state = port.arrays()
    runner = Onnx(port.graph, state) if backend == "onnx" else Torch(port.graph, state, standalone=True)
    tops = runner.chain({port.graph.inputs[0].blob: drawn_input(recorded)})
    by_name = {value.name: tops[node.index, k] for node in port.graph.nodes for k, value in enumerate(node.tops)}
    outputs = [name for name in recorded if name.startswith("out:")]
    assert outputs
    for name in outputs:
        want = recorded[name]
        got = by_name[name[4:]].reshape(want.shape)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * float(np.abs(want).max()), err_msg=name)
    for name, mean in ((n, m) for n, m in recorded.items() if n.startswith("absmean:") and n[8:] in by_name):
        assert np.abs(by_name[name[8:]]).mean(dtype=np.float64) == pytest.approx(float(mean), rel=1e-4), name


def mnist(shared: Path) -> tuple[torch.Tensor, np.ndarray]:
    """The test images as LeNet wants them (pixel / 256), and their labels."""
    folder = shared / "models" / "data"
    images = gzip.decompress((folder / "mnist_t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "mnist_t10k-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    return torch.from_numpy(pixels.astype(np.float32) / 256), np.frombuffer(labels, np.uint8, offset=8)


@pytest.mark.parametrize(("model", "correct"), [("lenet_v1", 9905), ("lenet_v2", 9914)])
@pytest.mark.parametrize("lone", [False, True], ids=["with net", "weights alone"])
def test_lenet_on_mnist(shared: Path, model: str, correct: int, lone: bool) -> None:
    folder = shared / "models" / model
    net = None if lone else folder / "lenet.prototxt"
    port = open_port(net, folder / "lenet_iter_10000.caffemodel")
    state = {key: torch.from_numpy(array) for key, array in port.arrays().items()}
    images, labels = mnist(shared)
    with torch.no_grad():
        guesses = module(port.graph, state)(images).argmax(1).numpy()
    assert int((guesses == labels).sum()) == correct


def test_cifar10_quick_from_its_weight_file_alone(shared: Path) -> None:
    folder = shared / "models" / "cifar10_quick_v1"
    alone = open_port(None, folder / "cifar10_quick_iter_5000.caffemodel")
    with_net = open_port(folder / "cifar10_quick.prototxt", folder / "cifar10_quick_iter_5000.caffemodel")
    assert alone.graph.inputs[0].shape[1:] == (3, 32, 32)
    x = drawn_input(open_reference(shared, "cifar10_quick_v1/ref_cifar10_quick_iter_5000.caffemodel.npz")[1])
    made = [
        module(port.graph, {key: torch.from_numpy(array) for key, array in port.arrays().items()})
        for port in (alone, with_net)
    ]
    with torch.no_grad():
        assert torch.equal(made[0](torch.from_numpy(x)), made[1](torch.from_numpy(x)))


def test_weights_that_hold_a_layer_more_tell_it(shared: Path) -> None:
    port, _ = open_reference(shared, "mtcnn/ref_det2.caffemodel.npz")
    assert port.unused


def test_memnets_own_prototxts(shared: Path) -> None:
    from caffeport.caffe.net import read_net
    from caffeport.graph import build

    graph = build(read_net(shared / "models" / "memnet_prototxt" / "deploy.prototxt"))
    assert graph.parameters == 56_872_321
    assert [value.blob for value in graph.outputs] == ["fc8-euclidean"]

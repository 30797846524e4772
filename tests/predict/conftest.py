"""A small MemNet that reads pictures, as every kind of file; and MemNet at full size for the slow tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffeport.artefacts import write
from caffeport.artefacts.recipe import Recipe
from caffeport.port import open_port
from caffeport.transform import Crop, MeanImage, OutputMap, Preprocessing, Resize

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = GOLDEN / "formats" / "v1-legacy-blobs"
KINDS = ("model.pt", "model.onnx", "model.pt2", "front.onnx")

MakePictures = Callable[..., list[Path]]


def recipe() -> Recipe:
    """Every side another one, every setting away from its default."""
    mean = np.random.default_rng(5).uniform(90, 130, (3, 41, 47)).astype(np.float32)
    prep = Preprocessing(
        resize=Resize(41, 47), mean=MeanImage(mean), scale=0.017, crop=Crop(35, 35, "ten", "up"), raw_scale=1.25
    )
    return Recipe(prep, (OutputMap("half", subtract=1, multiply=0.5, add=0.25, low=-9, high=9),), "tiny")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small model as `KINDS`, and as bare.pt without preprocessing."""
    folder = tmp_path_factory.mktemp("models")
    bare = open_port(TINY / "net.prototxt", TINY / "net.caffemodel")
    port = replace(bare, recipe=recipe())
    for name in KINDS[:3]:
        write(port, folder / name)
    write(replace(port, pictures=("hwc", "raw")), folder / "front.onnx")
    write(replace(port, pictures=("nchw", "half")), folder / "batch.onnx")
    write(bare, folder / "bare.pt")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> MakePictures:
    """Write pictures of odd sizes below tmp_path / 'pictures', and give their paths."""

    def make(count: int, suffix: str = ".png", seed: int = 0) -> list[Path]:
        folder = tmp_path / "pictures"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(seed)
        paths = []
        for number in range(count):
            height, width = (int(side) for side in rng.integers(7, 160, 2))
            coarse = rng.integers(0, 256, (9, 11, 3), np.uint8)
            path = folder / f"{number:03}{suffix}"
            cv2.imwrite(str(path), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
            paths.append(path)
        return paths

    return make


@pytest.fixture(scope="session")
def memnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MemNet at full size, weights drawn from the seed of golden/nets, as .pt, .onnx and front.onnx."""
    from caffeport.demo import write_memnet
    from caffeport.transform import load_profile

    folder, case = tmp_path_factory.mktemp("memnet"), GOLDEN / "memnet-predict"
    net = GOLDEN / "nets" / "memnet" / "net.prototxt"
    write_memnet(net, 20150, folder / "memnet.caffemodel")
    profile = load_profile("memnet-pycaffe")
    chosen = Recipe(profile.preprocessing(case / "mean.binaryproto"), tuple(profile.outputs.values()), profile.name)
    port = replace(open_port(net, folder / "memnet.caffemodel"), recipe=chosen)
    write(port, folder / "model.pt")
    write(port, folder / "model.onnx")
    write(replace(port, pictures=("hwc", "raw")), folder / "front.onnx")
    return folder

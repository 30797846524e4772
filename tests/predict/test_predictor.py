"""Predictors: every kind of file gives the same numbers, and what does not fit is refused in a sentence."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caffeport.artefacts import write
from caffeport.artefacts.checkpoint import load_recipe
from caffeport.data import folder, pack
from caffeport.errors import Refused, UnreadableFile
from caffeport.port import open_port
from caffeport.predict import open_predictor
from caffeport.predict.torch_model import CheckpointModel
from caffeport.transform import Crop, Preprocessing, Resize, prepare

from .conftest import KINDS, TINY, MakePictures, recipe


@pytest.mark.parametrize("name", KINDS[1:])
def test_all_files_agree(models: Path, pictures: MakePictures, name: str) -> None:
    paths = pictures(6)
    wanted, other = open_predictor(models / "model.pt"), open_predictor(models / name)
    for path in paths:
        (first,), (second,) = wanted(path).values(), other(path).values()
        assert first.shape == second.shape == (10, *first.shape[1:])
        np.testing.assert_allclose(second, first, atol=1e-5 * np.abs(first).max())


def test_python_and_torch_prepare_the_same_bits(models: Path) -> None:
    model = open_predictor(models / "model.pt").model
    assert isinstance(model, CheckpointModel)
    rng, base = np.random.default_rng(1), recipe().preprocessing
    picture = rng.integers(0, 256, (2, 41, 47, 3), np.uint8)
    crop_mean = replace(base, mean=None, mean_values=(1.5, 2, 3), crop=Crop(35, 35), order="RGB", value_range=1.0)
    for prep in (base, crop_mean, replace(base, crop=Crop(35, 35), mirror="always"), Preprocessing(scale=1 / 256)):
        wanted = np.concatenate([prepare(prep, one) for one in picture])
        np.testing.assert_array_equal(model.prepare(prep, picture).numpy(), wanted)


def test_the_recipe_is_carried(models: Path) -> None:
    for name in KINDS:
        found = open_predictor(models / name).recipe
        assert found == recipe()
        assert str(found) == str(recipe())
    assert load_recipe(models / "model.pt") == recipe()
    assert load_recipe(models / "bare.pt") is None


def test_the_source_carries_the_description(tmp_path: Path) -> None:
    port = replace(open_port(TINY / "net.prototxt", TINY / "net.caffemodel"), recipe=recipe())
    write(port, tmp_path / "net.py")
    names: dict[str, object] = {"__name__": "net"}
    exec(compile((tmp_path / "net.py").read_text(), "net.py", "exec"), names)
    assert names["PREPROCESSING"] == recipe().to_dict()


def test_a_model_without_preprocessing_says_how_to_give_one(models: Path) -> None:
    with pytest.raises(Refused, match=r"does not say how pictures are prepared.*--profile NAME"):
        open_predictor(models / "bare.pt")
    assert open_predictor(models / "bare.pt", recipe()).crops == 10


def test_preprocessing_that_does_not_fit_the_net(models: Path) -> None:
    wrong = replace(recipe(), preprocessing=Preprocessing(resize=Resize(40, 40)))
    with pytest.raises(Refused, match="gives 3 x 40 x 40 and the net reads 3 x 35 x 35"):
        open_predictor(models / "bare.pt", wrong)


def test_what_is_inside_cannot_be_replaced(models: Path) -> None:
    other = replace(recipe(), preprocessing=replace(recipe().preprocessing, scale=1.0))
    with pytest.raises(Refused, match="has its preprocessing inside"):
        open_predictor(models / "front.onnx", other)


@pytest.mark.parametrize("name", ["model.pt", "model.onnx", "front.onnx"])
def test_blobs_of_any_layer(models: Path, pictures: MakePictures, name: str) -> None:
    (path,) = pictures(1)
    graph = open_port(TINY / "net.prototxt", TINY / "net.caffemodel").graph
    wanted = {value.name: value.shape for node in graph.computing for value in node.tops}
    found = open_predictor(models / name, blobs=list(wanted))(path)
    assert {blob: array.shape[1:] for blob, array in found.items()} == {b: s[1:] for b, s in wanted.items()}
    same = open_predictor(models / "model.pt", blobs=list(wanted))(path)
    for blob, array in found.items():
        np.testing.assert_allclose(array, same[blob], atol=1e-4 * max(1.0, float(np.abs(array).max())))
    with pytest.raises(Refused, match=r"has no blob 'conv9'; there are"):
        open_predictor(models / name, blobs=["conv9"])


def test_other_files_are_refused(models: Path, tmp_path: Path) -> None:
    for name in ("x.pt", "x.onnx", "x.pt2"):
        (tmp_path / name).write_bytes(b"no model at all")
        with pytest.raises(UnreadableFile):
            open_predictor(tmp_path / name)
        with pytest.raises(UnreadableFile, match="no such file"):
            open_predictor(tmp_path / f"none-{name}")
    (tmp_path / "x.h5").write_bytes(b"")
    with pytest.raises(Refused, match=r"no model has the suffix '.h5'"):
        open_predictor(tmp_path / "x.h5")
    with pytest.raises(Refused, match="blobs by name come from"):
        open_predictor(models / "model.pt2", blobs=["conv1"])


@pytest.mark.parametrize("name", KINDS)
def test_unknown_devices_are_refused(models: Path, name: str) -> None:
    with pytest.raises(Refused, match="--device"):
        open_predictor(models / name, device="abacus")


@pytest.mark.parametrize("change", ["pickle", "code", "double"])
def test_a_pt2_with_more_than_tensors_is_not_opened(models: Path, tmp_path: Path, change: str) -> None:
    path = tmp_path / "evil.pt2"
    with zipfile.ZipFile(models / "model.pt2") as good, zipfile.ZipFile(path, "w") as evil:
        for info in good.infolist():
            data = good.read(info)
            if change == "pickle" and info.filename.endswith("weights_config.json"):
                plain = json.loads(data)
                next(iter(plain["config"].values()))["use_pickle"] = True
                data = json.dumps(plain).encode()
            evil.writestr(info.filename, data)
        if change == "code":
            evil.writestr("model/data/aotinductor/model/run.so", b"\x7fELF")
        if change == "double":
            with pytest.warns(UserWarning, match="Duplicate"):
                evil.writestr(good.namelist()[0], b"")
    with pytest.raises(UnreadableFile):
        open_predictor(path)


def test_a_fixed_batch_is_filled_up(tmp_path: Path, models: Path, pictures: MakePictures) -> None:
    paths = pictures(3)
    text = (TINY.parent / "v2" / "net.prototxt").read_text() + RESHAPE
    (tmp_path / "net.prototxt").write_text(text)
    port = open_port(tmp_path / "net.prototxt", TINY / "net.caffemodel", shapes={"data": (4, 3, 35, 35)})
    write(replace(port, recipe=recipe()), tmp_path / "fixed.onnx")
    fixed, free = open_predictor(tmp_path / "fixed.onnx"), open_predictor(models / "model.onnx")
    assert fixed.model.shape[0] == 4
    source = folder(paths[0].parent)
    for one, other in zip(fixed.predict(source), free.predict(source), strict=True):
        (a,), (b,) = one.outputs.values(), other.outputs.values()
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


#: A layer whose output has four rows whatever the batch: the batch cannot be free.
RESHAPE = """
layer { name: "fixed" type: "Reshape" bottom: "fc8-euclidean" top: "score4" reshape_param { shape { dim: 4 dim: 1 } } }
"""


def test_packs_are_read_and_checked(models: Path, pictures: MakePictures, tmp_path: Path) -> None:
    source = folder(pictures(5)[0].parent)
    predictor = open_predictor(models / "model.pt")
    packed = pack(source, tmp_path / "pack", predictor.prep)
    for one, other in zip(predictor.predict(source), predictor.predict(packed), strict=True):
        for blob in one.outputs:
            np.testing.assert_array_equal(one.outputs[blob], other.outputs[blob])
    wrong = pack(source, tmp_path / "wrong", Preprocessing(resize=Resize(41, 48)))
    with pytest.raises(Refused, match="was packed with resize"):
        list(predictor.predict(wrong))


@pytest.mark.parametrize("workers", [0, 2])
def test_order_and_broken_pictures(models: Path, pictures: MakePictures, workers: int) -> None:
    paths = pictures(30)
    paths[7].write_bytes(b"no picture")
    paths[8].write_bytes(paths[9].read_bytes()[:200])
    predictor = open_predictor(models / "model.pt")
    found = list(predictor.predict(folder(paths[0].parent), workers=workers, batch=20))
    assert [one.key for one in found] == [path.name for path in paths]
    assert [one.index for one in found if one.error] == [7, 8]
    assert "is no picture" in found[7].error
    for one in (found[0], found[29]):
        (alone,) = predictor(paths[one.index]).values()
        (here,) = one.outputs.values()
        np.testing.assert_allclose(here, alone, atol=1e-5 * np.abs(alone).max())

"""Recipes: there and back in every form, lies refused, and those that training nets state themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffeport.artefacts.net_recipe import recipe_of_net
from caffeport.artefacts.recipe import Recipe
from caffeport.errors import CaffeportError
from caffeport.transform import Crop, MeanImage, OutputMap, Preprocessing, Resize, load_profile

MEAN = MeanImage(np.random.default_rng(1).normal(size=(3, 5, 7)).astype(np.float32))
FULL = Recipe(
    Preprocessing(resize=Resize(5, 7), mean=MEAN, scale=0.1, crop=Crop(3, 4, "ten")), (OutputMap("open"),), "own"
)


@pytest.mark.parametrize("recipe", [FULL, Recipe(Preprocessing())])
def test_json_there_and_back(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe
    json.loads(recipe.to_json(), parse_constant=pytest.fail)  # no Infinity: other languages read this too


def test_outputs_by_name() -> None:
    profile = load_profile("memnet")
    recipe = Recipe(Preprocessing(), tuple(profile.outputs.values()), profile.name)
    assert recipe.output("memorability")(0.7626) == pytest.approx(0.65)
    assert recipe.output("raw")(7.0) == 7.0
    with pytest.raises(CaffeportError, match="the model has raw, memorability"):
        recipe.output("other")


def changed(change: Any) -> str:
    plain = json.loads(FULL.to_json())
    change(plain)
    return json.dumps(plain)


LIES: dict[str, Callable[[], str]] = {
    "no JSON": lambda: "{",
    "deep": lambda: "[" * 100000,
    "no object": lambda: "[]",
    "no means": lambda: changed(lambda plain: plain.pop("means")),
    "another key": lambda: changed(lambda plain: plain.update(more=1)),
    "huge mean": lambda: changed(lambda plain: next(iter(plain["means"].values())).update(shape=[3, 1 << 40, 7])),
    "short mean": lambda: changed(lambda plain: next(iter(plain["means"].values())).update(data="AAAA")),
    "no base64": lambda: changed(lambda plain: next(iter(plain["means"].values())).update(data="*" * 560)),
    "other mean": lambda: changed(lambda plain: next(iter(plain["means"].values())).update(shape=[3, 7, 5])),
    "an output's text": lambda: changed(lambda plain: plain["outputs"]["open"].update(add="1")),
    "an output's key": lambda: changed(lambda plain: plain["outputs"]["open"].update(power=1)),
    "a profile's number": lambda: changed(lambda plain: plain.update(profile=1)),
    "an unknown crop": lambda: changed(lambda plain: plain["preprocessing"]["crop"].update(mode="odd")),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_are_refused(name: str) -> None:
    with pytest.raises(CaffeportError):
        Recipe.from_json(LIES[name](), "x.onnx")


NET = """name: "n" layer {{ name: "d" type: "{kind}" top: "data" top: "label" {own} include {{ phase: {phase} }} }}
layer {{ name: "f" type: "InnerProduct" bottom: "data" top: "f" inner_product_param {{ num_output: 1 }} }}"""


def stated(folder: Path, own: str, kind: str = "Data", phase: str = "TEST", **more: Any) -> Any:
    (folder / "net.prototxt").write_text(NET.format(kind=kind, own=own, phase=phase))
    return recipe_of_net(folder / "net.prototxt", "data", 3, **more)


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_a_training_net_states_its_preprocessing(tmp_path: Path, phase: str) -> None:
    own = "transform_param { crop_size: 9 scale: 0.5 mean_value: 7 mirror: true }"
    own += " image_data_param { new_height: 11 new_width: 13 }"
    found = stated(tmp_path, own, "ImageData", phase)
    wanted = Preprocessing(resize=Resize(11, 13), mean_values=(7,), scale=0.5, crop=Crop(9, 9))
    assert found.recipe == Recipe(wanted)
    assert "its preprocessing is stored with the model" in found.note
    assert "--resize" not in found.note
    assert "--resize" in stated(tmp_path, "transform_param { crop_size: 9 }").note


def test_a_mean_file_is_looked_for(tmp_path: Path, golden: Path) -> None:
    own = 'transform_param { mean_file: "data/mean.binaryproto" }'
    found = stated(tmp_path, own)
    assert found.recipe is None
    assert (
        "mean_file 'data/mean.binaryproto' is not at hand: no preprocessing is stored; give the file by --mean"
        in found.note
    )
    assert stated(tmp_path, own, mean_given=True).recipe == Recipe(Preprocessing())
    (tmp_path / "mean.binaryproto").write_bytes((golden / "transforms" / "mean.binaryproto").read_bytes())
    assert stated(tmp_path, own).recipe.preprocessing.mean is not None


def test_a_deploy_net_states_none(golden: Path) -> None:
    found = recipe_of_net(golden / "formats" / "v2" / "net.prototxt", "data", 3)
    assert found == (None, "")

"""Python layers: classes that were registered run, nothing else does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from torch import nn

import caffeport
from caffeport.errors import Refused, Unportable
from caffeport.layers import registered

from .single import Single, check, graph_of


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The user's module, imported under a name of its own; what is registered is forgotten after the test."""
    monkeypatch.setattr(registered, "_CLASSES", dict(registered._CLASSES))
    path = Path(__file__).with_name("registered_classes.py")
    spec = importlib.util.spec_from_file_location("users_layers", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "users_layers", made)
    spec.loader.exec_module(made)
    return made


def python(module: str, layer: str, param_str: str = "") -> str:
    return f"""type: "Python" python_param {{ module: "{module}" layer: "{layer}" param_str: '{param_str}' }}"""


def test_a_registered_class_runs_everywhere(users: ModuleType) -> None:
    caffeport.register_python_layer("their.layers", "Scaling", users.Scaled)
    one = Single(python("their.layers", "Scaling", '{"factor": 2.5}'), (2, 3), tops=2)
    top = 2.5 * one.params[0] * one.bottoms[0]
    one.agrees(top, top.sum(1))


def test_as_a_decorator(users: ModuleType) -> None:
    decorate = caffeport.register_python_layer("their.layers", "Minus")
    assert decorate(users.Plain) is users.Plain
    one = Single(python("their.layers", "Minus"), (2, 3))
    one.agrees(-one.bottoms[0], onnx=False)
    with pytest.raises(Unportable, match="Plain, registered for this layer, has no `onnx` face"):
        one.onnx()


def test_a_description_names_a_module_of_caffeport(users: ModuleType) -> None:
    caffeport.register_python_layer("their.layers", "Most", users.Described)
    one = Single(python("their.layers", "Most", "MAX"), (2, 3, 4, 5))
    one.agrees(one.bottoms[0].max((2, 3), keepdims=True), onnx=False)
    with pytest.raises(Unportable, match="has no `onnx` face"):
        one.onnx()


def test_unregistered_code_is_refused_by_name_and_never_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Refused) as caught:
        graph_of(python("trap", "Layer"), (2, 3))
    assert "names class 'Layer' of module 'trap', which is not registered" in str(caught.value)
    assert "register_python_layer('trap', 'Layer', ...)" in str(caught.value)
    assert "trap" not in sys.modules


def test_shapes_of_a_registered_class_are_checked(users: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    caffeport.register_python_layer("their.layers", "Minus", users.Plain)
    with pytest.raises(Refused, match=r"gives shapes .* for 2 tops"):
        graph_of(python("their.layers", "Minus"), (2, 3), tops=2)
    monkeypatch.setattr(users.Plain, "infer", staticmethod(lambda bottoms, tops, param_str: ((2.0, 3),)))
    with pytest.raises(Refused, match="one tuple of whole numbers per top"):
        graph_of(python("their.layers", "Minus"), (2, 3))


def test_classes_that_source_cannot_import_are_refused() -> None:
    class Local(nn.Module):
        @staticmethod
        def infer(bottoms: object, tops: int, param_str: str) -> object:
            return bottoms

    with pytest.raises(TypeError, match="cannot be imported by emitted source"):
        caffeport.register_python_layer("their.layers", "Local", Local)
    with pytest.raises(TypeError, match="Module lacks infer"):
        caffeport.register_python_layer("their.layers", "Bare", nn.Module)


def test_param_str_is_data(users: ModuleType) -> None:
    caffeport.register_python_layer("their.layers", "Minus", users.Plain)
    hostile = "\\') or __import__(\\'os\\')\\n"
    one = Single(python("their.layers", "Minus", hostile), (2, 3))
    check(one.torch(standalone=True), [-np.asarray(one.bottoms[0])], 0)

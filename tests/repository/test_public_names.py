"""The public names exist, have docstrings, and are imported only when they are used."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import pytest

import caffeport


@pytest.mark.parametrize("name", [name for name in caffeport.__all__ if name != "__version__"])
def test_public_names_have_docstrings(name: str) -> None:
    assert inspect.getdoc(getattr(caffeport, name)), name


def test_public_names_stay_themselves() -> None:
    """A submodule of the same name would take a function's place as soon as it is imported."""
    code = (
        "import caffeport, types\n"
        "for _ in range(2):\n"
        "  for name in caffeport.__all__:\n"
        "    assert not isinstance(getattr(caffeport, name), types.ModuleType), name"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        caffeport.nothing  # noqa: B018


def test_importing_the_package_is_light() -> None:
    code = "import caffeport, sys; print({'torch', 'onnx', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_error_is_a_caffeport_error() -> None:
    from caffeport import errors

    for value in vars(errors).values():
        if inspect.isclass(value) and issubclass(value, Exception):
            assert issubclass(value, caffeport.CaffeportError)
            assert value.__name__ in (errors.__doc__ or ""), f"{value.__name__} is not in the tree in the docstring"


@pytest.mark.parametrize("kind", [caffeport.CaffeportError, caffeport.Refused, caffeport.UnreadableFile])
def test_errors_cross_processes(kind: type[caffeport.CaffeportError]) -> None:
    error = kind("net.prototxt:3", "local_size is 4", "odd sizes", "change it")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.todo) == (kind, str(error), "change it")


def test_several_errors_cross_processes() -> None:
    both = caffeport.Problems([caffeport.Refused("a", "b"), caffeport.Refused("c", "d")])
    assert [str(one) for one in pickle.loads(pickle.dumps(both)).problems] == ["a: b", "c: d"]

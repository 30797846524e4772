"""The layer files keep to their rules: one type a file, short, told whose it is, and shown to be right somewhere."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from caffeport import layers
from caffeport.layers import Layer, registry
from caffeport.layers.base import describe

ROOT = Path(__file__).parents[2]
FOLDER = Path(layers.__file__).parent
TYPES = {cls.type: cls for cls in registry().values() if cls.__module__.startswith("caffeport.layers.")}
TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)}
FILES = sorted(FOLDER.glob("*.py"))

#: `repository: file.cpp` or `repository, branch x, file.cpp`, as a fork's docstring names its source.
SOURCE = re.compile(r"[\w.-]+/[\w.-]+\b.*?\w+\.(cpp|cu|py)", re.DOTALL)


def file_of(cls: type[Layer]) -> Path:
    return Path(inspect.getfile(cls))


def classes_in(path: Path) -> list[str]:
    """The layer classes of a file."""
    nodes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    return [
        node.name for node in nodes if any(isinstance(base, ast.Name) and base.id == "Layer" for base in node.bases)
    ]


@pytest.mark.parametrize("cls", TYPES.values(), ids=TYPES)
def test_a_type_has_a_file_named_after_it(cls: type[Layer]) -> None:
    path = file_of(cls)
    assert classes_in(path) == [cls.__name__] == [cls.type]
    assert path.stem == path.stem.lower()
    assert path.stem.replace("_", "") == cls.type.lower()
    # Words begin where Caffe's name has a capital: no underscore anywhere else.
    starts = [match.start() for match in re.finditer("_", path.stem)]
    assert all(cls.type[start - number].isupper() for number, start in enumerate(starts))


@pytest.mark.parametrize("cls", TYPES.values(), ids=TYPES)
def test_a_layer_file_is_short(cls: type[Layer]) -> None:
    assert 20 <= len(file_of(cls).read_text().splitlines()) <= 80


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shared_arithmetic_is_named_and_not_long(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, f"{path.name}: {node.name}"


@pytest.mark.parametrize("cls", TYPES.values(), ids=TYPES)
def test_a_type_tells_what_it_computes_and_where_that_is_written(cls: type[Layer]) -> None:
    about = describe(cls)
    assert about.endswith("."), about
    assert "|" not in about.replace("|x|", ""), "it stands in a table"
    assert re.fullmatch(r"[\w./]+\.(cpp|cu|hpp)(, [\w./]+\.(cpp|cu|hpp))*", cls.mirrors), cls.mirrors
    if cls.fork != "BVLC":
        assert SOURCE.search(inspect.getdoc(cls) or ""), "a fork's layer names repository and file"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_ignored_has_a_reason(path: Path) -> None:
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if ".ignore(" in line:
            before = lines[number - 1].strip()
            # A run of them may stand under one comment, and a helper tells it in its docstring.
            told = "#" in line or before.startswith(("#", '"""')) or ".ignore(" in before
            assert told, f"{path.name}:{number + 1}: {line.strip()}"


@pytest.mark.parametrize("cls", TYPES.values(), ids=TYPES)
def test_a_type_has_a_golden_folder_or_a_test(cls: type[Layer]) -> None:
    recorded = any((ROOT / "golden" / root / file_of(cls).stem).is_dir() for root in ("layers", "ssd"))
    assert recorded or any(f'"{cls.type}"' in text for text in TESTS.values())
    for name in cls.aliases:
        assert any(f'"{name}"' in text for text in TESTS.values()), f"no test names {name}"

"""Data flows one way: each part imports only from the parts above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "caffeport"

#: The parts, from the one that imports nothing to the one that may import everything.
_ORDER = """
version errors files
caffe.tree caffe.wire caffe.schema caffe.scalars caffe.fields caffe.text caffe.blob caffe.hdf5 caffe.binary
caffe.weights caffe.encode caffe.write caffe.upgrade_v0 caffe.upgrade caffe.net caffe.training caffe.sides
caffe.input_shape caffe.deploy
layers graph batch nn emit transform profiles port artefacts data models
conversion upgrading inspection support coverage
verify predict evaluate bench cli demo
"""
ORDER = _ORDER.split()

ALLOWED_TORCH_FREE = ("errors", "files", "version", "caffe", "layers", "graph", "inspection", "support", "coverage")


def part_of(module: str) -> str:
    """The part that a module belongs to: ``caffeport.layers.lrn`` -> ``layers``; caffe/ is taken file by file."""
    words = module.split(".")[1:]
    return ".".join(words[:2]) if words[:1] == ["caffe"] and len(words) > 1 else (words or [""])[0]


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports, inside functions too; imports for type checking alone do not count."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            base = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if (ROOT / f"{name.replace('.', '/')}.py").exists() else node.module for name in base)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path: Path) -> str:
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_step_back(path: Path) -> None:
    own = part_of(name_of(path))
    if own in ("caffe", "__main__"):
        return
    assert own in ORDER, f"{own} has no place in the order of the parts"
    for module in imports(path):
        if module.startswith("caffeport."):
            other = part_of(module)
            if other not in ("", "caffe", own):
                assert ORDER.index(other) < ORDER.index(own), f"{name_of(path)} imports {module}, a step back"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_reading_needs_neither_torch_nor_onnx(path: Path) -> None:
    if part_of(name_of(path)).split(".")[0] in ALLOWED_TORCH_FREE:
        heavy = {"torch", "onnx", "onnxruntime"} & {module.split(".")[0] for module in imports(path)}
        assert not heavy, f"{name_of(path)} imports {heavy}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "nn").glob("*.py")), ids=lambda path: path.stem)
def test_modules_of_emitted_source_import_torch_only(path: Path) -> None:
    if path.stem != "__init__":
        assert {module.split(".")[0] for module in imports(path)} <= {"torch", "math"}


def test_names_in_nn_are_unique() -> None:
    seen: dict[str, str] = {}
    for path in sorted((PACKAGE / "nn").glob("*.py")):
        for node in ast.parse(path.read_text()).body if path.stem != "__init__" else ():
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                assert node.name not in seen, f"{node.name} is in {seen.get(node.name)} and {path.stem}"
                seen[node.name] = path.stem


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "--help"], ["layers", "Pooling"]])
def test_light_verbs_start_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom caffeport.cli import main\n"
        f"try: main({arguments!r})\nfinally: print('heavy', sorted({{'torch', 'onnx'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "heavy []"

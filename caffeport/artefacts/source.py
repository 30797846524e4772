""".py: readable source that imports torch only and loads the .safetensors or a plain state_dict."""

from __future__ import annotations

from pathlib import Path
from pprint import pformat

from caffeport.artefacts.provenance import notes
from caffeport.artefacts.recipe import Recipe
from caffeport.emit.source import emit
from caffeport.port import Port


def write(port: Port, part: Path, target: Path) -> None:
    """Write the source; the weights go into another file (.safetensors or .pt)."""
    text = emit(port.graph, notes=notes(port))
    part.write_text(text + (_recipe(port.recipe) if port.recipe else ""), encoding="utf-8")


def _recipe(recipe: Recipe) -> str:
    """How pictures are prepared, as comments for people and as data for programs; a mean image stays outside."""
    steps = "".join(f"# {line}\n" for line in ascii(str(recipe))[1:-1].split("\\n"))
    data = pformat(recipe.to_dict(), width=110, sort_dicts=False)
    return f"\n\n# What the model expects of a picture:\n{steps}PREPROCESSING = {data}\n"

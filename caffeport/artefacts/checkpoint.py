""".pt: tensors, the normalised net as prototxt, and provenance. Plain types only: loads with weights_only=True."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from caffeport.artefacts.provenance import provenance
from caffeport.artefacts.recipe import Recipe
from caffeport.caffe.deploy import input_layer
from caffeport.caffe.net import parse_net
from caffeport.caffe.tree import Message
from caffeport.caffe.write import net_text
from caffeport.emit.torch import module
from caffeport.errors import UnreadableFile, WeightsMismatch
from caffeport.graph import Graph, Node, build
from caffeport.layers import Misfit
from caffeport.port import Port

FORMAT = "caffeport"
VERSION = 1


def write(port: Port, part: Path, target: Path) -> None:
    """Write a checkpoint that `load` and plain torch both read (the tensors are under ``state_dict``)."""
    net = port.graph.net
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "net": net_text(stated(port.graph)),
        "phase": net.phase,
        "state_dict": tensors(port),
        "provenance": provenance(port),
    }
    if port.recipe is not None:
        means = {digest: torch.tensor(array) for digest, array in port.recipe.preprocessing.means().items()}
        content["recipe"] = {**port.recipe.to_dict(), "means": means}
    torch.save(content, part)


def stated(graph: Graph) -> Message:
    """The net that gives this very graph again: an input whose shape was told from outside becomes an Input layer."""
    layers = [
        node.definition
        if not node.layer.source or _says_shapes(node)
        else replace(
            node.definition,
            message=input_layer(node.name, node.definition.tops, node.top_shapes, node.definition.where),
        )
        for node in graph.nodes
    ]
    return replace(graph.net, layers=tuple(layers)).without_blobs()


def _says_shapes(source: Node) -> bool:
    """Whether the layer itself states the shapes that its tops have."""
    try:
        return source.layer.infer(((),) * len(source.tops)).tops == source.top_shapes
    except Misfit:
        return False


def tensors(port: Port) -> dict[str, Tensor]:
    """The port's tensors by state_dict key."""
    return {key: torch.from_numpy(array) for key, array in port.arrays().items()}


def read(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, checked.

    Raises:
        UnreadableFile: no file, not a torch file, or not one of ours.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).split("\n")[0][:200]
        raise UnreadableFile(str(path), f"is no checkpoint that torch reads safely ({reason})", "", _MAKE) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UnreadableFile(str(path), "is a torch file, but not made by caffeport", "", _MAKE)
    if content.get("version") != VERSION:
        known = f"this caffeport reads version {VERSION}"
        raise UnreadableFile(str(path), f"has format version {content.get('version')!r}", known, "update caffeport")
    wanted = {"net": str, "phase": str, "state_dict": dict}
    wrong = [name for name, kind in wanted.items() if not isinstance(content.get(name), kind)]
    if wrong or not all(isinstance(tensor, Tensor) for tensor in content["state_dict"].values()):
        raise UnreadableFile(str(path), f"lacks {wrong[0] if wrong else 'tensors'}", "", "convert the model again")
    return content


_MAKE = "make one with `caffeport convert NET WEIGHTS -o MODEL.pt`"


def load_graph(path: str | Path) -> tuple[Graph, dict[str, Tensor]]:
    """The graph and the tensors of a checkpoint."""
    content = read(path)
    graph = build(parse_net(content["net"], str(path), phase=content["phase"]))
    return graph, content["state_dict"]


def recipe_of(content: dict[str, Any], path: str | Path) -> Recipe | None:
    """The recipe in a checkpoint's content; None where it carries none. Raises UnreadableFile, Refused."""
    plain = content.get("recipe")
    if plain is None:
        return None
    if not isinstance(plain, dict) or not isinstance(plain.get("means"), dict):
        raise UnreadableFile(str(path), "holds no recipe of this format", "", "convert the model again")
    means = plain["means"]
    if not all(isinstance(tensor, Tensor) and tensor.dtype == torch.float32 for tensor in means.values()):
        raise UnreadableFile(str(path), "holds a mean image that is no float32 tensor", "", "convert the model again")
    rest = {key: value for key, value in plain.items() if key != "means"}
    return Recipe.from_dict(rest, {digest: tensor.numpy() for digest, tensor in means.items()}, str(path))


def load_recipe(path: str | Path) -> Recipe | None:
    """How the pictures of a .pt's model are prepared; None where the file does not say."""
    return recipe_of(read(path), path)


def load(path: str | Path) -> nn.Module:
    """The model of a .pt that `caffeport convert` wrote, on the CPU, in the mode of its phase (TEST: evaluation).

    The file holds the net as data; the module's source is emitted from it here, never read from the file.

    Raises:
        UnreadableFile: not such a file.
        WeightsMismatch: its tensors do not fit its net.
    """
    graph, state = load_graph(path)
    try:
        return module(graph, state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsMismatch(str(path), f"tensors and net disagree ({reason})", "", "convert it again") from None

"""One layer of a net as a net of its own: its inputs, the layer, its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from caffeport.caffe.text import parse_text
from caffeport.caffe.tree import Field, Message, Token
from caffeport.caffe.write import net_text, write_binary
from caffeport.graph import Node


def single_net(node: Node, shapes: Mapping[str, Sequence[int]]) -> Message:
    """A NetParameter with an Input layer per bottom blob, of the shapes given by blob, and the layer as it stands."""
    where = node.definition.where
    fields = [Field("name", Token(f"{node.name}-alone", True), where)]
    for blob in dict.fromkeys(node.definition.bottoms):
        dims = " ".join(f"dim: {side}" for side in shapes[blob])
        made = parse_text(f'type: "Input" input_param {{ shape {{ {dims} }} }}', "<inputs>")
        named = [Field("name", Token(input_name(node, blob), True), where), Field("top", Token(blob, True), where)]
        fields.append(Field("layer", made.plus(*named), where))
    fields.append(Field("layer", node.definition.message, where))
    return Message(tuple(fields), where)


def input_name(node: Node, blob: str) -> str:
    """The name of a blob's Input layer: the blob's own, unless the layer itself has it."""
    return f"{blob} (input)" if blob == node.name else blob


def write_single(
    node: Node, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray], folder: Path
) -> tuple[Path, Path | None]:
    """Write net.prototxt and, where the layer has parameters, net.caffemodel; returns both paths."""
    shapes = {blob: array.shape for blob, array in zip(node.definition.bottoms, bottoms, strict=True)}
    net, weights = folder / "net.prototxt", folder / "net.caffemodel"
    message = single_net(node, shapes)
    net.write_text(net_text(message), encoding="utf-8")
    if not blobs:
        return net, None
    write_binary(message, {node.name: [np.asarray(blob, np.float32) for blob in blobs]}, weights)
    return net, weights

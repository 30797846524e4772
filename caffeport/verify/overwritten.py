"""What Caffe's backward pass reads where a later layer has worked in place.

Some layers take their gradient from their own top: tanh' is 1 - top^2. Where a layer behind works in place on that
top, Caffe's memory holds the later layer's numbers by then, and the gradient that Caffe gives is not the derivative of
what it computed. The port gives the derivative. So that recordings of such nets can be compared all the same, this
module lets the port read what Caffe read: then all of the backward pass must agree.

Mirrors Backward_cpu of the layers in `RULES`, and insert_splits.cpp: a blob with two readers is not shared in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from caffeport.graph import Graph, Node, Value

#: From the layer, the gradient at its top, its bottom, and what its top's memory holds in the end.
Rule = Callable[[Any, Tensor, Tensor, Tensor], Tensor]


def _relu(layer: Any, dy: Tensor, _x: Tensor, memory: Tensor) -> Tensor:
    slope: Tensor = torch.where(memory > 0, 1.0, layer.slope)
    return dy * slope


def _elu(layer: Any, dy: Tensor, _x: Tensor, memory: Tensor) -> Tensor:
    slope: Tensor = torch.where(memory > 0, 1.0, layer.alpha + memory)
    return dy * slope


def _lrn(layer: Any, dy: Tensor, x: Tensor, memory: Tensor) -> Tensor:
    scale = layer.k + layer.alpha / layer.size * _over_channels(x.square(), layer.size)
    shares = _over_channels(dy * memory / scale, layer.size)
    gradient: Tensor = dy * scale**-layer.beta - 2 * layer.alpha * layer.beta / layer.size * x * shares
    return gradient


def _over_channels(x: Tensor, size: int) -> Tensor:
    """Sums over `size` neighbouring channels."""
    half = size // 2
    padded = nn.functional.pad(x, (0, 0, 0, 0, half, half))
    return padded.unfold(1, size, 1).sum(-1)


#: Layer types whose gradient reads the top; the second set only in place, where the bottom is the same memory.
RULES: Mapping[str, Rule] = {
    "TanH": lambda _layer, dy, _x, memory: dy * (1 - memory.square()),
    "Sigmoid": lambda _layer, dy, _x, memory: dy * memory * (1 - memory),
    "LRN": _lrn,
}
IN_PLACE: Mapping[str, Rule] = {"ReLU": _relu, "ELU": _elu}


def overwritten(graph: Graph) -> dict[int, tuple[int, int]]:
    """Nodes whose gradient Caffe takes from memory that was overwritten, each with the top that stands there."""
    readers = Counter(value.name for node in graph.nodes for value in node.bottoms)
    readers.update(
        v.name for node in graph.nodes for v, weight in zip(node.tops, node.loss_weights, strict=True) if weight
    )
    makers = {value.name: (node.index, k) for node in graph.nodes for k, value in enumerate(node.tops)}
    behind = {
        value.name: _same_blob(node, value)
        for node in graph.nodes
        for value in node.bottoms
        if readers[value.name] == 1 and _same_blob(node, value)
    }
    found: dict[int, tuple[int, int]] = {}
    for node in graph.nodes:
        last = node.tops[0] if _reads_top(node, behind) else None
        while last and (later := behind.get(last.name)):
            last = later
        if last and last != node.tops[0]:
            found[node.index] = makers[last.name]
    return found


def _reads_top(node: Node, behind: Mapping[str, Value | None]) -> bool:
    """Whether Caffe's backward pass of a layer reads the memory of its top."""
    if node.type in IN_PLACE:
        return len(node.bottoms) == 1 and node.bottoms[0].name in behind
    # Within a channel, LRN is made of layers that keep what they need.
    return node.type in RULES and not getattr(node.layer, "within", False)


def _same_blob(node: Node, value: Value) -> Value | None:
    return next((top for top in node.tops if top.blob == value.blob), None)


def notes(graph: Graph) -> tuple[str, ...]:
    """What a reader of the comparison should know: one sentence per layer concerned."""
    return tuple(
        f"Caffe's backward pass of {graph.nodes[index].name!r} ({graph.nodes[index].type}) reads what "
        f"{graph.nodes[later].name!r} wrote over its top in place; gradients are compared with that read, too. "
        "The port itself gives the derivative."
        for index, (later, _) in overwritten(graph).items()
    )


@contextmanager
def as_caffe_reads(
    graph: Graph, part: Callable[[Node], nn.Module], tops: Mapping[tuple[int, int], Tensor]
) -> Iterator[None]:
    """While the port runs forward: let its backward pass read overwritten memory, which `tops` will hold by then."""
    hooks = []
    for index, place in overwritten(graph).items():
        node = graph.nodes[index]
        hooks.append(part(node).register_forward_hook(_rereading(node, place, tops)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rereading(node: Node, place: tuple[int, int], tops: Mapping[tuple[int, int], Tensor]) -> Any:
    rule = RULES.get(node.type) or IN_PLACE[node.type]

    def gradient(dy: Tensor, x: Tensor) -> Tensor:
        return rule(node.layer, dy, x, tops[place].detach())

    def hook(_part: nn.Module, inputs: tuple[Tensor, ...], top: Tensor) -> Tensor:
        return _Reread.apply(inputs[0], top.detach(), gradient)  # type: ignore[no-untyped-call, no-any-return]

    return hook


class _Reread(torch.autograd.Function):
    """Passes a layer's top on; its gradient is what the given function makes of the top's gradient and the bottom."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: Tensor, gradient: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.gradient = gradient
        return top.view_as(top)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return ctx.gradient(grads[0], ctx.saved_tensors[0]), None, None

"""Python identifiers for names out of files: total (any name gets one) and injective (no two share one)."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from caffeport.graph import Graph
from caffeport.graph.names import Unused

#: What `nn.Module` has already; a test compares it with torch's own.
_MODULE_NAMES = """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict
    modules mtia named_buffers named_children named_modules named_parameters parameters register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict tie to to_empty train training type xpu zero_grad
"""
MODULE_NAMES = frozenset(_MODULE_NAMES.split())
#: What the emitted forward uses itself.
LOCAL_NAMES = frozenset({"self", "torch", "nn", "F", "Tensor", "math", "loss", "functional_call"})


def identifiers(names: Sequence[str], reserved: Iterable[str] = ()) -> tuple[str, ...]:
    """An identifier for each name, in order; equal names get different ones.

    Names that are identifiers already keep themselves, unless they begin with an underscore, as what torch keeps to
    itself does; the others give way: ``1x1`` -> ``_1x1``, ``class`` -> ``class_``, ``_x`` -> ``n_x``,
    ``conv1/11x9`` -> ``conv1_11x9`` or, where that is taken, ``conv1_11x9_2``.
    """
    unused = Unused(reserved)
    plain = [_plain(name) for name in names]
    # A stable sort: names that need no change are served first.
    order = sorted(range(len(names)), key=lambda i: plain[i] != names[i])
    found = {place: unused.take(plain[place]) for place in order}
    return tuple(found[place] for place in range(len(names)))


def _plain(name: str) -> str:
    word = re.sub(r"[^0-9A-Za-z_]", "_", name) or "_"
    word = f"n{word}" if word[0] == "_" else f"_{word}" if word[0].isdigit() else word
    return f"{word}_" if keyword.iskeyword(word) or keyword.issoftkeyword(word) else word


@dataclass(frozen=True, slots=True)
class Names:
    """Identifiers for a graph: one attribute per node that computes, one variable per blob, the class's name."""

    modules: dict[int, str]
    variables: dict[str, str]
    cls: str
    state: dict[tuple[int, int], str]


def name_graph(graph: Graph) -> Names:
    """Choose the identifiers; `state` maps (node, parameter) to its key in the state_dict."""
    nodes = list(graph.computing)
    tensors = {node.index: node.layer.torch(node.shapes).state for node in nodes}
    attributes = identifiers([node.name for node in nodes], MODULE_NAMES | _confused(graph, tensors.values()))
    modules = {node.index: attribute for node, attribute in zip(nodes, attributes, strict=True)}
    blobs = list(dict.fromkeys(value.blob for node in graph.nodes for value in (*node.bottoms, *node.tops)))
    variables = dict(zip(blobs, identifiers(blobs, LOCAL_NAMES), strict=True))
    state = {
        (index, k): f"{modules[index]}.{tensor}" for index, state in tensors.items() for k, tensor in enumerate(state)
    }
    return Names(modules, variables, class_name(graph.name), state)


def _confused(graph: Graph, states: Iterable[Sequence[str]]) -> set[str]:
    """Attributes whose tensors would be called as a value is: ONNX knows both by name, and a blob keeps its own."""
    endings = {f".{tensor}" for state in states for tensor in state}
    values = {value.name for node in graph.nodes for value in (*node.bottoms, *node.tops)}
    return {name.removesuffix(end) for name in values for end in endings if name.endswith(end)}


def class_name(name: str) -> str:
    """A class name in camel case: ``CaffeNet``, ``tiny-memnet`` -> ``TinyMemnet``, ``pool`` -> ``PoolNet``."""
    words = re.findall(r"[0-9A-Za-z]+", name) or ["Net"]
    joined = "".join(word[0].upper() + word[1:] for word in words)
    joined = f"Net{joined}" if joined[0].isdigit() else joined
    return f"{joined}Net" if keyword.iskeyword(joined) or joined in _taken_classes() else joined


@cache
def _taken_classes() -> frozenset[str]:
    """The class names that emitted source uses itself: what it imports, and the modules that it may carry."""
    own = Path(__file__).parents[1] / "nn"
    defined = (re.findall(r"^class (\w+)", file.read_text("utf-8"), re.MULTILINE) for file in own.glob("*.py"))
    return frozenset({"Tensor", "F", "Path", "Any", "Callable"}.union(*defined))

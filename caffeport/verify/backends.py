"""The three ways a port runs: as a module in this process, as the emitted source alone, in ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from caffeport.emit import onnx as emit_onnx
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import compile_source, module
from caffeport.graph import Graph, Node

Arrays = Mapping[str, np.ndarray]
#: Top k of node i.
Tops = dict[tuple[int, int], np.ndarray]


class Backend(Protocol):
    """A way to run a graph: the whole of it, or one node alone."""

    def chain(self, inputs: Arrays) -> Tops:
        """Every top of every node, each read right after its layer ran."""

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The tops of one node for these bottoms."""


class Torch:
    """A port in torch: `standalone` compiles the source that a user gets, its own classes included."""

    def __init__(self, graph: Graph, state: Arrays, standalone: bool = False, dtype: torch.dtype = torch.float32) -> None:
        self.graph, self.dtype = graph, dtype
        self.names = name_graph(graph)
        tensors = {key: torch.from_numpy(np.array(array)) for key, array in state.items()}
        self.module = self.load(tensors, standalone).to(dtype)

    def load(self, state: Mapping[str, Tensor], standalone: bool) -> nn.Module:
        """The module with its weights; the standalone one through a file and its own loader, as a user would."""
        if not standalone:
            return module(self.graph, state)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "state.pt"
            torch.save(dict(state), file)
            cls = compile_source(emit(self.graph), self.names.cls)
            loader = cls.forward.__globals__["load"]
            made: nn.Module = loader(file)
        return made.train(self.graph.net.phase == "TRAIN")

    def chain(self, inputs: Arrays) -> Tops:
        with torch.no_grad():
            tops, _ = self.run(inputs)
        return {place: tensor.detach().numpy() for place, tensor in tops.items()}

    def run(self, inputs: Arrays, gradient: bool = False) -> tuple[dict[tuple[int, int], Tensor], list[Tensor]]:
        """All tops as tensors, and the input tensors in the graph's order."""
        tops: dict[tuple[int, int], Tensor] = {}
        fed = [self.tensor(inputs[value.blob], gradient) for value in self.graph.inputs]
        by_value = dict(zip(self.graph.inputs, fed, strict=True))
        for node in self.graph.nodes:
            if node.layer.source:
                tops |= {(node.index, k): by_value[value] for k, value in enumerate(node.tops)}
        hooks = [self.part(node).register_forward_hook(_catch(tops, node)) for node in self.graph.computing]
        try:
            self.module(*fed)
        finally:
            for hook in hooks:
                hook.remove()
        return tops, fed

    def part(self, node: Node) -> nn.Module:
        """The module of one layer."""
        return self.module.get_submodule(self.names.modules[node.index])

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        part, call = self.part(node), node.layer.torch(node.shapes)
        fed = [self.tensor(bottom) for bottom in bottoms]
        with torch.no_grad():
            tops = [part(bottom) for bottom in fed] if call.each else part(*fed)
        return [top.numpy() for top in ([tops] if isinstance(tops, Tensor) else list(tops or ()))]

    def tensor(self, array: np.ndarray, gradient: bool = False) -> Tensor:
        """An array as a tensor of its own, in the port's precision."""
        return torch.tensor(array, dtype=self.dtype, requires_grad=gradient)


def _catch(tops: dict[tuple[int, int], Tensor], node: Node) -> Any:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        for tensor in [output] if isinstance(output, Tensor) else output or ():
            # A layer that is called once per bottom gives its tops one by one.
            k = next(k for k in range(len(node.tops)) if (node.index, k) not in tops)
            tops[node.index, k] = tensor

    return hook


class Onnx:
    """A port in ONNX Runtime, on the CPU."""

    def __init__(self, graph: Graph, state: Arrays) -> None:
        self.graph, self.state = graph, state
        self.keys = name_graph(graph).state

    def chain(self, inputs: Arrays) -> Tops:
        made = [(node, k, value) for node in self.graph.nodes for k, value in enumerate(node.tops)]
        kept = [value for node, _, value in made if not node.layer.source]
        session = _session(emit_onnx.emit(self.graph, self.state, keep=kept))
        fed = {value.name: inputs[value.blob] for value in self.graph.inputs}
        wanted = list(dict.fromkeys(value.name for value in kept))
        got = fed | dict(zip(wanted, session.run(wanted, fed), strict=True))
        return {(node.index, k): got[value.name] for node, k, value in made}

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        graph = self.graph.alone(node)
        keys = name_graph(graph).state
        owners = [param.owner or (node.index, k) for k, param in enumerate(node.params)]
        state = {keys[0, k]: self.state[self.keys[owner]] for k, owner in enumerate(owners)}
        fed = {value.name: array for value, array in zip(node.bottoms, bottoms, strict=True)}
        return list(_session(emit_onnx.emit(graph, state)).run([value.name for value in node.tops], fed))


def _session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

"""The three ways a port runs: as a module in this process, as the emitted source alone, in ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain as joined
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from caffeport.emit import onnx as emit_onnx
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import compile_source, module
from caffeport.errors import CaffeportError
from caffeport.graph import Graph, Node
from caffeport.verify.compare import Comparison
from caffeport.verify.returned import Place, by_place, ends_of, strays


class CannotRun(CaffeportError):
    """A back end stopped in the middle of a net: the port is wrong, or it was fed what the net does not take."""


Arrays = Mapping[str, np.ndarray]
#: Initializers of fewer bytes stay in their model: shapes and the like, which ONNX Runtime wants to see.
LENT_BYTES = 1 << 16
Tops = dict[Place, np.ndarray]


class Backend(Protocol):
    """A way to run a graph: the whole of it, or one node alone; a `partial` one may lack blobs and gradients."""

    partial: bool

    def chain(self, inputs: Arrays) -> Tops:
        """Every top of every node, each read right after its layer ran."""

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The tops of one node for these bottoms."""


class Torch:
    """A port in torch, its weights shared with `state` unless it trains.

    `standalone` compiles the source that a user gets, its own classes included; `made` is a module loaded elsewhere.
    `strays` tell, after a run, what the module returns that is not what its layers gave.
    """

    partial = False

    def __init__(
        self,
        graph: Graph,
        state: Arrays,
        standalone: bool = False,
        dtype: torch.dtype = torch.float32,
        made: nn.Module | None = None,
    ) -> None:
        self.graph, self.dtype = graph, dtype
        self.strays: list[Comparison] = []
        self.names = name_graph(graph)
        own = graph.net.phase == "TRAIN"
        tensors = {key: torch.from_numpy(np.array(array) if own else _writable(array)) for key, array in state.items()}
        self.module = self.load(tensors, standalone) if made is None else made

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
        """See `Backend.chain`."""
        found: Tops = {}
        self.watch(inputs, found.__setitem__)
        return found

    def watch(self, inputs: Arrays, see: Callable[[Place, np.ndarray], None]) -> None:
        """Run in chain and hand over every top as it appears; nothing is kept here."""
        with torch.no_grad(), self.cast(), stops(self.graph.net.file):
            self.run(inputs, lambda place, tensor: see(place, tensor.detach().numpy()))

    @contextmanager
    def cast(self) -> Iterator[None]:
        """Run in the port's precision with one layer's weights cast at a time: memory stays near that of float32."""
        hooks = []
        if self.dtype != torch.float32:
            for node in self.graph.computing:
                hooks += _cast(self.part(node), self.dtype)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def run(self, inputs: Arrays, see: Callable[[Place, Tensor], None], gradient: bool = False) -> None:
        """Run in chain and show every top as a tensor."""
        fed = [self.tensor(inputs[value.blob], gradient) for value in self.graph.inputs]
        by_value = dict(zip(self.graph.inputs, fed, strict=True))
        for node in self.graph.nodes:
            for k, value in enumerate(node.tops if node.layer.source else ()):
                see((node.index, k), by_value[value])
        ends = ends_of(self.graph)
        given: dict[Place, Tensor] = {}

        def keep(place: Place, tensor: Tensor) -> None:
            if place in ends:
                given[place] = tensor
            see(place, tensor)

        hooks = [self.part(node).register_forward_hook(_catch(keep, node)) for node in self.watched]
        try:
            returned = by_place(self.module(*fed), ends)
        finally:
            for hook in hooks:
                hook.remove()
        if self.partial:
            # An export drops layers that do nothing: what it returns stands for their tops.
            for place in returned.keys() - given.keys():
                keep(place, returned[place])
        self.strays = list(strays(self.graph, ends, given, returned))

    @property
    def watched(self) -> Sequence[Node]:
        """The layers whose tops are shown."""
        return tuple(self.graph.computing)

    def part(self, node: Node) -> nn.Module:
        """The module of one layer."""
        return self.module.get_submodule(self.names.modules[node.index])

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Backend.alone`."""
        part, call = self.part(node), node.layer.torch(node.shapes)
        fed = [self.tensor(bottom) for bottom in bottoms]
        with torch.no_grad(), self.cast(), stops(node.label):
            tops = [part(bottom) for bottom in fed] if call.each else part(*fed)
        return [top.detach().numpy() for top in ([tops] if isinstance(tops, Tensor) else list(tops or ()))]

    def tensor(self, array: np.ndarray, gradient: bool = False) -> Tensor:
        """An array as a tensor of its own, in the port's precision."""
        return torch.tensor(array, dtype=self.dtype, requires_grad=gradient)


@contextmanager
def stops(where: str) -> Iterator[None]:
    """Turn what torch and ONNX Runtime raise in the middle of a run into `CannotRun`."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (
        *(state.Fail, state.InvalidArgument, state.RuntimeException, state.InvalidGraph, state.NotImplemented),
        *(state.InvalidProtobuf, state.NoSuchFile, state.NoModel, state.EPFail),
    )
    try:
        yield
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, *kinds) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise CannotRun(where, f"the port does not run ({said[:300]})") from None


def _writable(array: np.ndarray) -> np.ndarray:
    """The array itself where torch can share it."""
    return np.require(array, requirements=["C", "W"])


def _cast(part: nn.Module, dtype: torch.dtype) -> list[Any]:
    """Hooks that put a layer's tensors in another precision while it runs."""
    before: list[tuple[Tensor, Tensor]] = []

    def to(_part: nn.Module, _inputs: Any) -> None:
        for tensor in joined(part.parameters(), part.buffers()):
            if tensor.is_floating_point() and tensor.dtype != dtype:
                before.append((tensor, tensor.data))
                tensor.data = tensor.data.to(dtype)

    def back(_part: nn.Module, _inputs: Any, _output: Any) -> None:
        while before:
            tensor, data = before.pop()
            tensor.data = data

    return [part.register_forward_pre_hook(to), part.register_forward_hook(back, always_call=True)]


def _catch(see: Callable[[Place, Tensor], None], node: Node) -> Any:
    seen = iter(range(len(node.tops)))

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        # A layer that is called once per bottom gives its tops one by one.
        for tensor in [output] if isinstance(output, Tensor) else output or ():
            see((node.index, next(seen)), tensor)

    return hook


class Onnx:
    """A port in ONNX Runtime, on the CPU; the weights are lent to it, not copied."""

    partial = False

    def __init__(self, graph: Graph, state: Arrays) -> None:
        self.graph, self.state = graph, state
        self.keys = name_graph(graph).state

    def chain(self, inputs: Arrays) -> Tops:
        """See `Backend.chain`."""
        made = [(node, k, value) for node in self.graph.nodes for k, value in enumerate(node.tops)]
        kept = [value for node, _, value in made if not node.layer.source]
        fed = {value.name: inputs[value.blob] for value in self.graph.inputs}
        wanted = list(dict.fromkeys(value.name for value in kept))
        with stops(self.graph.net.file):
            session = _session(self.graph, self.state, kept)
            got = fed | dict(zip(wanted, session.run(wanted, fed), strict=True))
        return {(node.index, k): got[value.name] for node, k, value in made}

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Backend.alone`."""
        if not node.tops:
            return []
        graph = self.graph.alone(node)
        keys = name_graph(graph).state
        owners = [(param.owner or (node.index, k), param.shape) for k, param in enumerate(node.params)]
        state = {keys[0, k]: self.state[self.keys[owner]].reshape(shape) for k, (owner, shape) in enumerate(owners)}
        fed = {value.name: array for value, array in zip(node.bottoms, bottoms, strict=True)}
        with stops(node.label):
            return list(_session(graph, state).run([value.name for value in node.tops], fed))


def _session(graph: Graph, state: Arrays, keep: Sequence[Any] = ()) -> Any:
    """A session over the emitted model, whose weights are those of `state` themselves."""
    empty = {key: np.empty((0, *array.shape), np.float32) for key, array in state.items()}
    return lend(emit_onnx.emit(graph, empty, keep), state)


def lend(model: Any, arrays: Arrays | None = None) -> Any:
    """A session whose weights stay outside the model, so that they exist once and not five times.

    `arrays` are lent by name; without them the model's own initializers are taken out of it and lent.
    """
    import onnxruntime
    from onnx import numpy_helper

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Weights in the runtime's own layout would be another copy of all of them, for one run.
    options.add_session_config_entry("session.disable_prepacking", "1")
    names, values = [], []
    for tensor in model.graph.initializer:
        if tensor.name in arrays if arrays is not None else len(tensor.raw_data) >= LENT_BYTES:
            array = numpy_helper.to_array(tensor) if arrays is None else arrays[tensor.name]
            array = np.array(array) if arrays is None else np.ascontiguousarray(array, np.float32)
            _outside(tensor, array.shape)
            names.append(tensor.name)
            values.append(onnxruntime.OrtValue.ortvalue_from_numpy(array))
    options.add_external_initializers(names, values)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _outside(tensor: Any, shape: Sequence[int]) -> None:
    """Mark an initializer as one whose data comes from elsewhere."""
    from onnx import TensorProto

    del tensor.dims[:]
    tensor.dims.extend(shape)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")

"""One layer between inputs, run in torch (float64) and in ONNX Runtime with the same random weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from caffeport.caffe.net import parse_net
from caffeport.emit import onnx as emit_onnx
from caffeport.emit.names import name_graph
from caffeport.emit.source import emit
from caffeport.emit.torch import compile_source, module
from caffeport.graph import Graph, build

Shape = tuple[int, ...]


def graph_of(layer: str, *shapes: Shape, tops: int = 1, phase: str = "TEST") -> Graph:
    """The graph of one layer; `layer` is its text without name, bottoms and tops."""
    dims = [" ".join(f"dim: {side}" for side in shape) for shape in shapes]
    inputs = [
        f'layer {{ name: "in{k}" type: "Input" top: "in{k}" input_param {{ shape {{ {dim} }} }} }}'
        for k, dim in enumerate(dims)
    ]
    bottoms = " ".join(f'bottom: "in{k}"' for k in range(len(shapes)))
    outputs = " ".join(f'top: "out{k}"' for k in range(tops))
    text = "\n".join([*inputs, f'layer {{ name: "one" {bottoms} {outputs} {layer} }}'])
    return build(parse_net(text, phase=phase))


class Single:
    """A layer with random weights."""

    def __init__(self, layer: str, *shapes: Shape, tops: int = 1, phase: str = "TEST", seed: int = 0) -> None:
        self.graph = graph_of(layer, *shapes, tops=tops, phase=phase)
        rng = np.random.default_rng(seed)
        self.node = next(self.graph.computing)
        self.params = [rng.standard_normal(param.shape) for param in self.node.params]
        self.bottoms = [rng.standard_normal(shape) for shape in shapes]

    @property
    def state(self) -> dict[str, np.ndarray]:
        keys = name_graph(self.graph).state
        return {keys[self.node.index, k]: array for k, array in enumerate(self.params)}

    def module(self, standalone: bool = False) -> nn.Module:
        """The port in float64; `standalone` from the source that a user gets."""
        tensors = {key: torch.from_numpy(array.copy()) for key, array in self.state.items()}
        if not standalone:
            return module(self.graph, tensors)
        made = compile_source(emit(self.graph), name_graph(self.graph).cls)()
        made.load_state_dict(tensors, assign=True)
        return made.train(self.graph.net.phase == "TRAIN")

    def torch(self, *bottoms: np.ndarray, standalone: bool = False) -> list[np.ndarray]:
        """The tops, in float64."""
        made = self.module(standalone)(*(torch.from_numpy(array) for array in bottoms or self.bottoms))
        made = [made] if isinstance(made, Tensor) else list(made.values())
        return [top.detach().numpy() for top in made]

    def onnx(self, *bottoms: np.ndarray) -> list[np.ndarray]:
        """The tops, from ONNX Runtime in float32."""
        model = emit_onnx.emit(self.graph, {key: array.astype(np.float32) for key, array in self.state.items()})
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        fed = {f"in{k}": array.astype(np.float32) for k, array in enumerate(bottoms or self.bottoms)}
        return list(session.run([value.name for value in self.graph.outputs], fed))

    def agrees(self, *wanted: np.ndarray, onnx: bool = True) -> None:
        """The module, its source and ONNX give these tops."""
        for standalone in (False, True):
            check(self.torch(standalone=standalone), wanted, 1e-12)
        if onnx:
            check(self.onnx(), wanted, 1e-5)


def check(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], share: float) -> None:
    """Equal shapes, and differences below a share of the largest magnitude; NaN and Caffe's -FLT_MAX exactly."""
    assert [top.shape for top in got] == [top.shape for top in wanted]
    for mine, want in zip(got, wanted, strict=True):
        usual = np.abs(want) < 1e30
        scale = float(np.abs(want[usual]).max(initial=0.0))
        np.testing.assert_allclose(mine[usual], want[usual], rtol=0, atol=share * scale)
        np.testing.assert_array_equal(mine[~usual].astype(np.float32), want[~usual].astype(np.float32))

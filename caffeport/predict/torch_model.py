"""Models that run in torch: the .pt that `convert` writes, and the .pt2 of torch.export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from caffeport.artefacts import checkpoint
from caffeport.artefacts.recipe import METADATA, Recipe
from caffeport.batch import free_axes
from caffeport.caffe.net import parse_net
from caffeport.emit.names import name_graph
from caffeport.emit.torch import module
from caffeport.errors import Refused, UnreadableFile, WeightsMismatch
from caffeport.graph import Graph, build
from caffeport.predict.models import Arrays, no_blob
from caffeport.predict.pt2 import check_archive
from caffeport.transform.apply import mean_is_of_crop, mean_of, plan_cuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffeport.transform.apply import Cut
    from caffeport.transform.preprocessing import Preprocessing


class TorchModel:
    """What the two have in common: a module on a device, and preprocessing there."""

    layout = ""
    channels_last = False

    def __init__(self, path: Path, device: str) -> None:
        self.path, self.place = path, _device(device)
        self.device = self.place.type
        self._means: dict[str, Tensor] = {}

    def prepare(self, prep: Preprocessing, pictures: NDArray[np.uint8]) -> Tensor:
        """Channel order, mean, scale and crops on the device; the same float32 steps as `transform.prepare`."""
        planes = torch.from_numpy(pictures).to(self.place).permute(0, 3, 1, 2)
        if prep.order == "RGB" and planes.shape[1] == 3:
            planes = planes.flip(1)
        height, width = planes.shape[2:]
        cuts = plan_cuts(prep, height, width)
        image_mean = not mean_is_of_crop(prep, (height, width, planes.shape[1]), cuts[0])
        if image_mean:
            planes = self._arithmetic(prep, planes)
        crops = _cut_out(planes, cuts)
        return crops if image_mean else self._arithmetic(prep, crops)

    def _arithmetic(self, prep: Preprocessing, planes: Tensor) -> Tensor:
        values = planes.to(torch.float32)
        if prep.value_range != 255:
            values = values / 255
        if prep.raw_scale != 1:
            values = values * float(np.float32(prep.raw_scale))
        if prep.mean is not None or prep.mean_values:
            values = values - self._mean(prep, planes.shape[1])
        return values * float(np.float32(prep.scale)) if prep.scale != 1 else values

    def _mean(self, prep: Preprocessing, channels: int) -> Tensor:
        key = prep.mean.sha256 if prep.mean is not None else repr(prep.mean_values)
        if key not in self._means:
            self._means[key] = torch.tensor(mean_of(prep, channels)).to(self.place)
        return self._means[key]

    def tensor(self, batch: NDArray[Any] | Tensor) -> Tensor:
        """A batch on the device."""
        found = batch if isinstance(batch, Tensor) else torch.from_numpy(np.ascontiguousarray(batch, np.float32))
        return found.to(self.place, memory_format=self.layout_of(found))

    def layout_of(self, batch: Tensor) -> torch.memory_format:
        """On a CPU convolutions and pooling are a fifth faster with the channels last."""
        last = self.channels_last and batch.dim() == 4
        return torch.channels_last if last else torch.contiguous_format


class CheckpointModel(TorchModel):
    """A .pt: any blob can be given out."""

    def __init__(self, path: Path, device: str, blobs: tuple[str, ...]) -> None:
        super().__init__(path, device)
        content = checkpoint.read(path)
        self.recipe = checkpoint.recipe_of(content, path)
        self.graph = build(parse_net(content["net"], str(path), phase=content["phase"]))
        self.shape = _shape(self.graph, path)
        try:
            self.module: nn.Module = module(self.graph, content["state_dict"]).eval().to(self.place)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise WeightsMismatch(str(path), f"tensors and net disagree ({reason})", "", "convert it again") from None
        if self.device == "cpu" and all(tensor.dim() < 5 for tensor in self.module.state_dict().values()):
            self.channels_last = True
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        values = [value.name for node in self.graph.nodes for value in node.tops]
        for blob in blobs:
            if blob not in values:
                raise no_blob(path, blob, values)
        self.outputs = blobs or tuple(value.name for value in self.graph.outputs)
        self._seen: Arrays = {}
        self._watch(set(blobs))

    def _watch(self, blobs: set[str]) -> None:
        """Catch blobs where they are made: a blob that is overwritten in place is its last version, as in Caffe."""
        names = name_graph(self.graph)
        for node in self.graph.computing:
            if wanted := {k: value.name for k, value in enumerate(node.tops) if value.name in blobs}:
                self.module.get_submodule(names.modules[node.index]).register_forward_hook(self._catch(wanted))

    def _catch(self, wanted: dict[int, str]) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tops = [output] if isinstance(output, Tensor) else list(output)
            for k, name in wanted.items():
                self._seen[name] = _numpy(tops[k])

        return hook

    def run(self, batch: NDArray[Any] | Tensor) -> Arrays:
        """The outputs, or the blobs that were asked for."""
        fed = self.tensor(batch)
        self._seen = {value.name: _numpy(fed) for value in self.graph.inputs if value.name in self.outputs}
        with torch.inference_mode():
            result = self.module(fed)
        made = {self.graph.outputs[0].name: result} if isinstance(result, Tensor) else result
        found = {name: _numpy(tensor) for name, tensor in made.items()} | self._seen
        return {name: found[name] for name in self.outputs}


class ExportedModel(TorchModel):
    """A .pt2: its outputs only."""

    def __init__(self, path: Path, device: str, blobs: tuple[str, ...]) -> None:
        super().__init__(path, device)
        if blobs:
            raise Refused(str(path), "a .pt2 gives its outputs only", "blobs by name come from a .pt or .onnx")
        check_archive(path)
        notes = {METADATA: ""}
        try:
            program = torch.export.load(path, extra_files=notes)
        except (RuntimeError, ValueError, KeyError, AssertionError) as error:
            raise UnreadableFile(str(path), f"is no exported program ({str(error)[:200]})") from None
        self.recipe = Recipe.from_json(notes[METADATA], str(path)) if notes[METADATA] else None
        inputs = [
            node.meta["val"].shape for node in program.graph.nodes if node.name in program.graph_signature.user_inputs
        ]
        if len(inputs) != 1:
            raise Refused(str(path), f"has {len(inputs)} inputs", "a model that reads pictures has one")
        self.shape = tuple(side if isinstance(side, int) else None for side in inputs[0])
        self.module = program.module().to(self.place)
        self.outputs: tuple[str, ...] = ()

    def run(self, batch: NDArray[Any] | Tensor) -> Arrays:
        """The outputs; a single one is called 'output', for the format does not keep Caffe's name."""
        with torch.inference_mode():
            result = self.module(self.tensor(batch))
        made: dict[str, Tensor] = {"output": result} if isinstance(result, Tensor) else result
        return {name: _numpy(tensor) for name, tensor in made.items()}


def _cut_out(planes: Tensor, cuts: Sequence[Cut]) -> Tensor:
    """(N, C, H, W) to (N x crops, C, h, w), a picture's crops one after the other, the channels last in memory."""
    shape = (len(planes), len(cuts), cuts[0].height, cuts[0].width, planes.shape[1])
    crops = planes.new_empty(shape)
    for place, cut in enumerate(cuts):
        piece = planes[:, :, cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
        crops[:, place] = (piece.flip(3) if cut.mirrored else piece).permute(0, 2, 3, 1)
    return crops.flatten(0, 1).permute(0, 3, 1, 2)


def _shape(graph: Graph, path: Path) -> tuple[int | None, ...]:
    if len(graph.inputs) != 1:
        names = ", ".join(value.blob for value in graph.inputs)
        raise Refused(str(path), f"has the inputs {names}", "a model that reads pictures has one")
    value = graph.inputs[0]
    return (None if free_axes(graph) else value.shape[0], *value.shape[1:])


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).numpy()
    return array


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0][:200]
        raise Refused("--device", f"is {name!r} ({reason})", "cpu, or cuda where torch finds a GPU") from None
    return device

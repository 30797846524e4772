"""The file that a user ships, as a back end: what is verified is that file, not the port in memory."""

from __future__ import annotations

import importlib.util
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from caffeport.artefacts import checkpoint
from caffeport.artefacts.provenance import sha256
from caffeport.caffe.net import NetDef, parse_net
from caffeport.emit.names import name_graph
from caffeport.errors import BadCase, Refused, Unportable, UnreadableFile, WeightsMismatch
from caffeport.graph import Graph, Node, build
from caffeport.verify.backends import Arrays, Backend, Tops, Torch, lend, stops
from caffeport.verify.case import Case
from caffeport.verify.run import Result, Run

_REAL = frozenset({torch.float16, torch.float32, torch.float64})
SUFFIXES = (".pt", ".safetensors", ".py", ".pt2", ".onnx")
#: What a program may raise when it is imported or loads its weights. Leaving the process with 0 would read as parity.
_PROGRAM = (
    *(SyntaxError, ImportError, NameError, AttributeError, OSError, ValueError, TypeError, LookupError),
    *(RuntimeError, ArithmeticError, AssertionError, EOFError, pickle.UnpicklingError, SystemExit),
)


def verify_artefact(path: Path, case: Case) -> Result:
    """A shipped file beside what Caffe computed; weights are the file's own (a .py takes those beside it).

    Raises:
        BadCase: the file is of another net than the case.
        CaffeportError: the file cannot be read.
    """
    port, notes = open_artefact(path, case)
    result = Run(case).on(path.name, port)
    return replace(result, notes=(*notes, *result.notes))


def open_artefact(path: Path, case: Case) -> tuple[Backend, tuple[str, ...]]:
    """A file as a back end for a case, with notes on what could not be looked at. A .py is run: it is a program."""
    openers = {
        ".pt": _checkpoint,
        ".safetensors": _tensors,
        ".py": _source,
        ".pt2": _exported,
        ".onnx": _onnx,
    }
    if path.suffix not in openers:
        raise Refused(str(path), f"no artefact has the suffix {path.suffix!r}", f"there are {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UnreadableFile(str(path), "is not a file")
    return openers[path.suffix](path, case)


Opened = tuple[Backend, tuple[str, ...]]


def _checkpoint(path: Path, case: Case) -> Opened:
    """A .pt of ours with the net in it, or a plain state_dict."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UnreadableFile(str(path), f"is no file that torch reads safely ({_line(error)})") from None
    if isinstance(content, dict) and content.get("format") == checkpoint.FORMAT:
        content = checkpoint.read(path)
        net = parse_net(content["net"], str(path), content["phase"])
        _check_same(path, net, case)
        return _port(path, build(net, {v.blob: v.shape for v in case.graph.inputs}), content["state_dict"]), ()
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UnreadableFile(str(path), "holds no state_dict", "tensors by name are needed")
    return _port(path, case.graph, state), ("holds tensors only: the net is the case's",)


def _tensors(path: Path, case: Case) -> Opened:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UnreadableFile(str(path), f"is no safetensors file ({_line(error)})") from None
    return _port(path, case.graph, state), ("holds tensors only: the net is the case's",)


def _port(path: Path, graph: Graph, state: Mapping[str, Tensor]) -> Torch:
    """A port with the tensors of a file, which are real numbers: a complex part would be dropped in silence."""
    odd = [f"{key!r} ({tensor.dtype})" for key, tensor in state.items() if tensor.dtype not in _REAL]
    if odd:
        raise WeightsMismatch(str(path), f"holds {odd[0]}", "float32, float64 and float16 are compared")
    try:
        return Torch(graph, {key: tensor.detach().numpy() for key, tensor in state.items()})
    except (RuntimeError, TypeError, NotImplementedError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsMismatch(str(path), f"tensors and net disagree ({reason})") from None


def _check_same(path: Path, net: NetDef, case: Case) -> None:
    """Raise BadCase unless the file's layers are those that Caffe ran."""
    own, recorded = ([f"{layer.name!r} ({layer.type})" for layer in one] for one in (net, case.graph.net))
    for mine, theirs in zip_longest(own, recorded, fillvalue="none"):
        if mine != theirs:
            what = f"has layer {mine} where the case has {theirs}"
            raise BadCase(str(path), what, "the case must be of the same net")


def _source(path: Path, case: Case) -> Opened:
    """Emitted source, imported; its weights are the file of the same name beside it, else the case's own."""
    beside = next((file for suffix in (".safetensors", ".pt") if (file := path.with_suffix(suffix)).is_file()), None)
    spec = importlib.util.spec_from_file_location(f"caffeport_artefact_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UnreadableFile(str(path), "cannot be imported")
    program = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(program)
    except _PROGRAM as error:
        raise UnreadableFile(str(path), f"cannot be imported ({_line(error)})") from None
    load = getattr(program, "load", None)
    if not callable(load):
        raise UnreadableFile(str(path), "has no load()", "source that caffeport wrote is needed")
    with tempfile.TemporaryDirectory() as folder:
        weights = beside or _saved(case, Path(folder))
        try:
            made = load(weights)
        except _PROGRAM as error:
            raise WeightsMismatch(str(path), f"does not load {weights.name} ({_line(error)})") from None
    names = name_graph(case.graph)
    missing = [name for name in names.modules.values() if not hasattr(made, name)]
    if missing or not isinstance(made, nn.Module):
        raise BadCase(str(path), f"has no layer {missing[0]!r}" if missing else "gives no module", "of the same net")
    note = "weights of the case: none lie beside the source"
    if beside:
        status = beside.stat()
        note = f"weights from {beside.name}, SHA-256 {sha256(beside, status.st_size, status.st_mtime_ns)}"
    return Torch(case.graph, {}, made=made.train(case.graph.net.phase == "TRAIN")), (note,)


def _saved(case: Case, folder: Path) -> Path:
    file = folder / "state.pt"
    torch.save({key: torch.from_numpy(np.array(array)) for key, array in case.state.items()}, file)
    return file


def _exported(path: Path, case: Case) -> Opened:
    """An exported program, taken apart again so that its layers can be watched."""
    if not zipfile.is_zipfile(path):  # torch would print its own complaint first
        raise UnreadableFile(str(path), "is no exported program")
    try:
        with _quiet():
            program = torch.export.load(path)
            made = torch.export.unflatten(program)
    except (RuntimeError, OSError, ValueError, KeyError, AssertionError, pickle.UnpicklingError) as error:
        raise UnreadableFile(str(path), f"is no exported program ({_line(error)})") from None
    names = name_graph(case.graph)
    found = dict(made.named_modules())
    kept = [node for node in case.graph.computing if names.modules[node.index] in found]
    if not kept:
        raise BadCase(str(path), "has none of the case's layers", "the case must be of the same net")
    return _Exported(case.graph, made, kept), ()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about its own use of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


class _Exported(Torch):
    """An exported program: layers that the export dropped as doing nothing are not looked at."""

    partial = True

    def __init__(self, graph: Graph, made: nn.Module, kept: Sequence[Node]) -> None:
        super().__init__(graph, {}, made=made)
        self.kept = kept

    @property
    def watched(self) -> Sequence[Node]:
        """See `Torch.watched`."""
        return self.kept

    def chain(self, inputs: Arrays) -> Tops:
        """See `Backend.chain`."""
        with _quiet():
            return super().chain(inputs)

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Not possible: an exported layer takes what the export saw it take."""
        raise Unportable(node.label, "an exported program runs as a whole")


def _onnx(path: Path, case: Case) -> Opened:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except (DecodeError, OSError, onnx.checker.ValidationError, ValueError) as error:
        raise UnreadableFile(str(path), f"is no ONNX model ({_line(error)})") from None
    return OnnxFile(path, model, case.graph), ()


class OnnxFile:
    """A shipped .onnx in ONNX Runtime; blobs are found in it by Caffe's names."""

    partial = True

    def __init__(self, path: Path, model: Any, graph: Graph) -> None:
        from onnx import helper

        self.graph, self.where = graph, str(path)
        computing = ((node, k, value) for node in graph.computing for k, value in enumerate(node.tops))
        self.made = {(node.index, k): value.name for node, k, value in computing}
        inside = {name for node in model.graph.node for name in node.output}
        self.found = {place: name for place, name in self.made.items() if name in inside}
        given = {value.name for value in model.graph.output}
        lost = [value.name for value in graph.outputs if value.name not in given]
        fed = {value.name for value in model.graph.input}
        wanted = {value.name for value in graph.inputs}
        if lost or fed != wanted:
            what = (
                f"has no output {lost[0]!r}" if lost else f"has the inputs {sorted(fed)}, the net has {sorted(wanted)}"
            )
            raise BadCase(self.where, what, "the file must be of the same net, fed as Caffe was")
        for name in dict.fromkeys(self.found.values()):
            if name not in given:
                model.graph.output.append(helper.make_empty_tensor_value_info(name))
        with stops(self.where):
            self.session = lend(model)

    def chain(self, inputs: Arrays) -> Tops:
        """See `Backend.chain`; blobs that the file does not have are left out."""
        names = list(dict.fromkeys(self.found.values()))
        with stops(self.where):
            got = self.session.run(names, {value.name: inputs[value.blob] for value in self.graph.inputs})
        by_name = dict(zip(names, got, strict=True))
        return {place: by_name[name] for place, name in self.found.items()}

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Not possible: the file is one model."""
        raise Unportable(node.label, "a shipped .onnx runs as a whole")


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


__all__ = ["SUFFIXES", "open_artefact", "verify_artefact"]

"""Verification without a golden case: the port beside witnesses, layer by layer. Evidence, and not Caffe's word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caffeport.errors import CaffeportError, Refused, Unportable
from caffeport.graph import Node, build
from caffeport.port import Port
from caffeport.transform.preprocessing import Preprocessing, Resize
from caffeport.verify import WITNESSES, opencv
from caffeport.verify.backends import Arrays, Backend, CannotRun, Onnx, Tops, Torch
from caffeport.verify.compare import FORWARD, Comparison, Labels, compare
from caffeport.verify.report.data import (
    Report,
    agree,
    case_verdict,
    describe_file,
    describe_layer,
    describe_net,
    describe_result,
)
from caffeport.verify.returned import Place
from caffeport.verify.run import Result, first_wrong, noise_of, top_name
from caffeport.verify.suspect import Scene, misreadings


def picture_inputs(port: Port, picture: Path, preprocessing: Preprocessing | None = None) -> tuple[Port, Arrays]:
    """The port at a batch of one where the net allows it, and a picture as its input.

    Without `preprocessing` the port's own recipe prepares the picture; without that it is squashed to the input's size,
    BGR from 0 to 255, which serves to compare and not to predict.

    Raises:
        Refused: the net has no single input of pictures.
        UnreadableFile: no picture.
    """
    values = port.graph.inputs
    if len(values) != 1 or len(values[0].shape) != 4 or values[0].shape[1] not in (1, 3):
        shapes = ", ".join(f"{value.blob!r} {value.shape}" for value in values)
        raise Refused(port.graph.net.file, f"has the inputs {shapes}", "a picture needs one input of 1 or 3 channels")
    count, channels, height, width = values[0].shape
    colour = "color" if channels == 3 else "gray"
    own = port.recipe.preprocessing if port.recipe else Preprocessing(colour=colour, resize=Resize(height, width))
    prepared = (preprocessing or own)(picture)[:1]
    blob, wanted = values[0].blob, (1, *prepared.shape[1:])
    try:
        single = replace(port, graph=build(port.graph.net, {blob: wanted}))
    except CaffeportError:
        # The net fixes its batch: the same picture fills it.
        return port, {blob: np.repeat(prepared, count, axis=0)}
    return single, {blob: prepared}


@dataclass
class Evidence:
    """A port with its inputs; every witness is compared with what the port's module gives."""

    port: Port
    inputs: Arrays

    @cached_property
    def module(self) -> Torch:
        """The port in float32."""
        return Torch(self.port.graph, self.state)

    @cached_property
    def state(self) -> Mapping[str, np.ndarray]:
        """The port's arrays by state_dict key."""
        return self.port.arrays()

    @cached_property
    def tops(self) -> Tops:
        """What the port gives in chain."""
        return self.module.chain(self.inputs)

    @cached_property
    def noise(self) -> dict[Place, float]:
        """Largest |float32 - float64| of the port at every top."""
        return noise_of(self.tops, Torch(self.port.graph, self.state, dtype=torch.float64), self.inputs)

    def witness(self, name: str) -> Backend:
        """A witness by name.

        Raises:
            Unportable: it is not installed, or cannot say the net.
        """
        made: dict[str, Callable[[], Backend]] = {
            "source": lambda: Torch(self.port.graph, self.state, standalone=True),
            "onnx": lambda: Onnx(self.port.graph, self.state),
            "opencv": lambda: opencv.OpenCv(self.port),
        }
        return made[name]()

    def on(self, name: str) -> Result:
        """The port beside one witness."""
        case = Path(self.port.graph.net.file).name
        try:
            witness = self.witness(name)
            alone, explained, notes = self.alone(name, witness)
            tops = witness.chain(self.inputs)
        except (Unportable, CannotRun) as refusal:
            return Result(case, name, skipped=str(refusal))
        found = (*alone, *self.chained(tops, explained))
        failed = first_wrong(found)
        return Result(case, name, found, culprit=failed.layer if failed else "", notes=tuple(notes))

    def fed(self) -> Iterator[tuple[Node, list[np.ndarray]]]:
        """Every layer that computes, with what the port had in its bottoms."""
        made: dict[str, np.ndarray] = {}
        for node in self.port.graph.nodes:
            if not node.layer.source:
                yield node, [made[value.name] for value in node.bottoms]
            made |= {value.name: self.tops[node.index, k] for k, value in enumerate(node.tops)}

    def alone(self, name: str, witness: Backend) -> tuple[list[Comparison], set[str], list[str]]:
        """Every layer fed the port's bottoms; differences that a known misreading of the witness explains are notes."""
        found: list[Comparison] = []
        explained: set[str] = set()
        notes: list[str] = []
        for node, bottoms in self.fed():
            try:
                theirs = witness.alone(node, bottoms)
            except (Unportable, CannotRun) as refusal:
                notes.append(f"layer {node.name!r} alone was not compared: {refusal.what}")
                continue
            for k, top in enumerate(theirs):
                ours = self.tops[node.index, k]
                want, what = _like(top, ours), top_name(node, k)
                one = compare(ours, want, layer=node.name, what=what, mode="alone", oracle="the witness")
                cause = "" if one.passed or name != "opencv" else self.misread(node, k, bottoms, top)
                if cause:
                    known = f" (known: {opencv.KNOWN[node.type]})" if node.type in opencv.KNOWN else ""
                    notes.append(f"layer {node.name!r} ({node.type}): OpenCV is wrong, not the port: {cause}{known}")
                    explained.add(node.name)
                else:
                    found.append(one)
        return found, explained, notes

    def misread(self, node: Node, k: int, bottoms: Sequence[np.ndarray], theirs: np.ndarray) -> str:
        """The misreading that gives a witness's values where the plain reading gives the port's; empty if none does."""
        ours = self.tops[node.index, k]
        allowed = FORWARD * float(np.abs(ours[np.isfinite(ours)]).max(initial=0.0))
        scene = Scene(node, k, bottoms, _like(theirs, ours), ours, True, allowed)
        owners = [param.owner or (node.index, j) for j, param in enumerate(node.params)]
        shapes = [param.shape for param in node.params]

        def blobs() -> list[np.ndarray]:
            pairs = zip(owners, shapes, strict=True)
            return [self.port.blobs[owner].numpy().reshape(shape) for owner, shape in pairs]

        return next(misreadings(scene, blobs), "")

    def chained(self, theirs: Tops, explained: set[str]) -> Iterator[Comparison]:
        """Every blob in chain, as far as no layer before it is one that the witness gets wrong."""
        tainted: set[str] = set()
        for node in self.port.graph.computing:
            if node.name in explained or any(value.name in tainted for value in node.bottoms):
                tainted |= {value.name for value in node.tops}
                continue
            for k in range(len(node.tops)):
                place = (node.index, k)
                if place in theirs and place in self.noise:
                    want = _like(theirs[place], self.tops[place])
                    about: Labels = {"layer": node.name, "what": top_name(node, k), "mode": "chain"}
                    yield compare(self.tops[place], want, **about, noise=self.noise[place], oracle="the witness")


def _like(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """A witness's array in the port's shape where it has the same numbers: OpenCV keeps axes of 1 that Caffe drops."""
    sides = [[side for side in array.shape if side != 1] for array in (theirs, ours)]
    return theirs.reshape(ours.shape) if sides[0] == sides[1] else theirs


def gather(port: Port, inputs: Arrays, witnesses: Sequence[str] = WITNESSES) -> list[Result]:
    """The port's module beside each witness.

    Raises:
        Refused: a witness that is not known.
    """
    unknown = [name for name in witnesses if name not in WITNESSES]
    if unknown:
        raise Refused("witness", f"is {unknown[0]!r}", f"there are {', '.join(WITNESSES)}")
    evidence = Evidence(port, inputs)
    return [evidence.on(name) for name in witnesses]


def describe_evidence(
    port: Port, results: Sequence[Result], picture: Path | None = None, seconds: float | None = None
) -> Report:
    """The comparison with witnesses as a case of a report (of kind ``evidence``)."""
    graph = port.graph
    roles: dict[str, Any] = dict(zip(("net", "weights"), port.sources, strict=False))
    files = {**roles, **({"picture": picture} if picture else {})}
    ran = [result.backend for result in results if not result.skipped]
    return {
        "name": Path(graph.net.file).name,
        "oracle": f"none: witnesses only ({', '.join(ran) or 'none could run'})",
        "phase": graph.net.phase,
        "passed": agree(results),
        "verdict": case_verdict(results, "its witnesses"),
        "seconds": seconds,
        "drawn_from_seed": None,
        "files": [describe_file(role, path) for role, path in files.items()],
        "net": describe_net(graph),
        "layers": [describe_layer(node) for node in graph.nodes],
        "results": [describe_result(result) for result in results],
    }

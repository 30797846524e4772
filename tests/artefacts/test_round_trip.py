"""The net in a .pt gives the very model again that was written: the same source, the same layers, the same shapes."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import caffeport
from caffeport.artefacts import write
from caffeport.artefacts.checkpoint import load_graph, stated
from caffeport.caffe.deploy import deploy, needs_deploy
from caffeport.caffe.net import build_net, parse_net, read_net
from caffeport.caffe.text import parse_text
from caffeport.caffe.write import net_text
from caffeport.coverage import STAND_IN, STAND_INS
from caffeport.emit.source import emit
from caffeport.errors import CaffeportError
from caffeport.graph import Graph, build
from caffeport.port import match, open_port

#: Nets of the corpus that convert; the number may grow, and must not shrink unseen.
CORPUS_LEAST = 400


def check(graph: Graph, name: str) -> None:
    again = build(parse_net(net_text(stated(graph)), name, phase=graph.net.phase))
    assert emit(again, standalone=False) == emit(graph, standalone=False), name
    assert [node.params for node in again.nodes] == [node.params for node in graph.nodes], name
    assert (again.inputs, again.outputs) == (graph.inputs, graph.outputs), name
    assert [node.loss_weights for node in again.nodes] == [node.loss_weights for node in graph.nodes], name


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_every_golden_net_comes_back(golden: Path, phase: str) -> None:
    seen = 0
    for path in sorted(golden.rglob("net.prototxt")):
        with suppress(CaffeportError):  # nets of the other phase, and those whose point is a refusal
            check(build(read_net(path, phase)), str(path))
            seen += 1
    assert seen > 450


def graphs(archive: Path) -> Iterator[tuple[str, Graph]]:
    """The nets of the corpus that convert, their inputs told where they are not stated."""
    with tarfile.open(archive) as nets:
        for member in nets:
            stream = nets.extractfile(member) if member.isfile() else None
            if stream is None:
                continue
            with suppress(CaffeportError):
                message = parse_text(stream.read().decode("utf-8", "replace"), member.name)
                net = build_net(message, member.name)
                shapes = {"data": STAND_IN, **STAND_INS}
                yield member.name, build(deploy(message, shapes=shapes) if needs_deploy(net) else net)


@pytest.mark.slow
def test_every_real_net_comes_back(shared: Path) -> None:
    archive = shared / "prototxts" / "nets.tar.gz"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    seen = 0
    for name, graph in graphs(archive):
        check(graph, name)
        seen += 1
    assert seen >= CORPUS_LEAST


def test_a_shape_that_was_told_stays(tmp_path: Path, golden: Path) -> None:
    case = golden / "formats" / "v2"
    shape = (2, *open_port(case / "net.prototxt", case / "net.caffemodel").graph.inputs[0].shape[1:])
    blob = open_port(case / "net.prototxt", case / "net.caffemodel").graph.inputs[0].blob
    port = open_port(case / "net.prototxt", case / "net.caffemodel", shapes={blob: shape})
    write(port, tmp_path / "net.pt")
    graph, _ = load_graph(tmp_path / "net.pt")
    assert graph.inputs == port.graph.inputs
    assert graph.inputs[0].shape == shape
    assert caffeport.load(tmp_path / "net.pt")(torch.zeros(shape)).shape[0] == 2


TRAINED = """
layer { name: "in" type: "Data" top: "x" top: "label" data_param { source: "lmdb" batch_size: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "label" top: "loss" }
"""


def test_a_training_net_whose_data_states_no_shape_comes_back(tmp_path: Path) -> None:
    graph = build(parse_net(TRAINED, phase="TRAIN"), {"x": (4, 3, 2, 2), "label": (4, 2, 2)})
    write(match(graph, None), tmp_path / "net.pt")
    model = caffeport.load(tmp_path / "net.pt")
    assert model.training
    loss, _ = model(torch.zeros(4, 3, 2, 2), torch.zeros(4, 2, 2))
    np.testing.assert_allclose(loss.item(), np.log(3), rtol=1e-6)

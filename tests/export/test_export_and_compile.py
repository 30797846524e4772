"""torch.export with a free batch and torch.compile on whole nets of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffeport.artefacts.exported import export
from caffeport.emit.torch import module
from caffeport.port import Port
from caffeport.verify.case import Case, open_case

GOLDEN = Path(__file__).parents[2] / "golden"
NETS = ["nets/memnet", "nets/squeezenet", "nets/resnet50", "layers/lstm/default", "ssd/ssd/tiny"]


@pytest.fixture(scope="module", params=NETS)
def case(request: pytest.FixtureRequest) -> Case:
    return open_case(GOLDEN / request.param)


def state_of(case: Case) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(np.array(array)) for key, array in case.state.items()}


def inputs_of(case: Case) -> list[torch.Tensor]:
    return [torch.from_numpy(case.inputs[value.blob]) for value in case.graph.inputs]


def same(got: object, want: object) -> None:
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's own, where it traces a loop
def test_export(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(case)
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    monkeypatch.setattr(Port, "arrays", lambda self: arrays)
    exported = export(Port(case.graph, {})).module()
    with torch.no_grad():
        same(exported(*inputs_of(case)), module(case.graph, state)(*inputs_of(case)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, inside its compiler
def test_compile(case: Case) -> None:
    made = module(case.graph, state_of(case))
    compiled = torch.compile(made)
    with torch.no_grad():
        same(compiled(*inputs_of(case)), made(*inputs_of(case)))

"""The port on a CUDA device beside what Caffe computed, and a few training steps there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caffeport.emit.torch import module
from caffeport.verify.case import open_case

GOLDEN = Path(__file__).parents[2] / "golden"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none"),
]


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """TF32 rounds to ten bits: parity is measured without it."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("name", ["memnet", "resnet50", "squeezenet"])
def test_nets_agree_with_caffe(name: str) -> None:
    case = open_case(GOLDEN / "nets" / name)
    state = {key: torch.from_numpy(np.array(array)).cuda() for key, array in case.state.items()}
    inputs = [torch.from_numpy(case.inputs[value.blob]).cuda() for value in case.graph.inputs]
    with torch.no_grad():
        got = module(case.graph, state)(*inputs).cpu().numpy()
    want = case.arrays[f"out/{case.graph.outputs[0].blob}"]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * float(np.abs(want).max()))


def test_memnet_trains() -> None:
    case = open_case(GOLDEN / "nets" / "memnet")
    state = {key: torch.from_numpy(np.array(array)).cuda() for key, array in case.state.items()}
    model = module(case.graph, state).train()
    x = torch.from_numpy(case.inputs["data"]).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    losses = []
    for _ in range(5):
        torch.manual_seed(0)
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]

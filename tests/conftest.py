"""Fixtures for all tests: where the files are that some tests need and the repository does not hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def golden() -> Path:
    """What real Caffe computed: golden/ of the repository."""
    return ROOT / "golden"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real models (CAFFEPORT_SHARED, else ../shared); tests that need it skip without it."""
    folder = Path(os.environ.get("CAFFEPORT_SHARED", ROOT.parent / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip(f"no models in {folder}: set CAFFEPORT_SHARED to a folder that holds them")
    return folder

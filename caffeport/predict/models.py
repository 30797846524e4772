"""The three kinds of model files that predict, behind one interface: arrays in, arrays by blob out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from caffeport.errors import Refused, UnreadableFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from caffeport.artefacts.recipe import Recipe
    from caffeport.transform.preprocessing import Preprocessing

Arrays = dict[str, "NDArray[np.float32]"]

SUFFIXES: Final = (".pt", ".onnx", ".pt2")


class Model(Protocol):
    """A model ready to run.

    `recipe` is what the file carries; `shape` the net's input with None for free sides; `outputs` the blobs that `run`
    gives; `layout` says 'hwc' or 'nchw' where the preprocessing is inside the model, and '' elsewhere; `device` is
    'cpu' or 'cuda'.
    """

    recipe: Recipe | None
    shape: tuple[int | None, ...]
    outputs: tuple[str, ...]
    layout: str
    device: str

    def run(self, batch: NDArray[Any]) -> Arrays:
        """The outputs for a batch of inputs, (N, C, H, W) float32; for a picture where `layout` is set."""

    def prepare(self, prep: Preprocessing, pictures: NDArray[np.uint8]) -> Any:
        """What `run` takes, from (N, H, W, C) bytes that are decoded and resized: (N x crops, C, h, w)."""


def open_model(path: str | os.PathLike[str], device: str = "cpu", blobs: Sequence[str] = ()) -> Model:
    """Open a .pt, .onnx or .pt2.

    Args:
        path: the file; its suffix tells its kind.
        device: 'cpu', or 'cuda' with or without a number.
        blobs: what to give out instead of the net's outputs: any of Caffe's blobs, by name.

    Raises:
        UnreadableFile, Refused: not such a file, no such device, no such blob.
    """
    suffix = Path(path).suffix.lower()
    if not Path(path).is_file():
        raise UnreadableFile(os.fspath(path), "there is no such file")
    opener = _OPENERS.get(suffix)
    if opener is None:
        todo = "make one with `caffeport convert NET WEIGHTS -o MODEL.pt`"
        raise Refused(os.fspath(path), f"no model has the suffix {suffix!r}", f"there are {', '.join(SUFFIXES)}", todo)
    return opener(Path(path), device, tuple(blobs))


def no_blob(path: Path, blob: str, known: Sequence[str]) -> Refused:
    """The refusal of an unknown blob."""
    return Refused(str(path), f"has no blob {blob!r}", f"there are {', '.join(known)}")


def _torch(path: Path, device: str, blobs: tuple[str, ...]) -> Model:
    from caffeport.predict.torch_model import CheckpointModel

    return CheckpointModel(path, device, blobs)


def _exported(path: Path, device: str, blobs: tuple[str, ...]) -> Model:
    from caffeport.predict.torch_model import ExportedModel

    return ExportedModel(path, device, blobs)


def _onnx(path: Path, device: str, blobs: tuple[str, ...]) -> Model:
    from caffeport.predict.onnx_model import OnnxModel

    return OnnxModel(path, device, blobs)


_OPENERS: Final[dict[str, Callable[[Path, str, tuple[str, ...]], Model]]] = {
    ".pt": _torch,
    ".onnx": _onnx,
    ".pt2": _exported,
}

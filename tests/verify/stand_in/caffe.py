"""A stand-in for pycaffe that answers from a recorded case (folder in CAFFE_STAND_IN): what the recorder may call."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

__version__ = "1.0.0 (stand-in)"
TRAIN, TEST = 0, 1
FOLDER = Path(os.environ["CAFFE_STAND_IN"])


def set_mode_cpu() -> None:
    pass


class Blob:
    def __init__(self, shape: Any) -> None:
        self.data = np.full(shape, np.nan, np.float32)
        self.diff = np.zeros(shape, np.float32)

    def reshape(self, *shape: int) -> None:
        self.__init__(shape)  # type: ignore[misc]


class Net:
    def __init__(self, net: str, *rest: Any) -> None:
        assert b"layer" in Path(net).read_bytes()
        assert rest[-1] in (TRAIN, TEST)
        meta = json.loads((FOLDER / "meta.json").read_text())
        self.golden = dict(np.load(FOLDER / "golden.npz"))
        self.meta = meta["layers"]
        self._layer_names = [layer["name"] for layer in self.meta]
        self._blob_names = list(dict.fromkeys(top for layer in self.meta for top in layer["tops"]))
        self.inputs, self.outputs = list(meta["inputs"]), meta["outputs"]
        self.blobs = {name: Blob(self.shape(name)) for name in self._blob_names}
        self.layers = [
            SimpleNamespace(type=layer["type"], blobs=[Blob(shape) for shape in layer["params"]]) for layer in self.meta
        ]

    def shape(self, name: str) -> Any:
        for layer in self.meta:
            if name in layer["tops"] and not layer["inserted"]:
                return self.golden[f"top/{layer['index']}/{layer['tops'].index(name)}"].shape
        return (1,)

    def _top_ids(self, index: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.meta[index]["tops"]]

    def _bottom_ids(self, index: int) -> list[int]:
        return [self._blob_names.index(name) for name in self.meta[index]["bottoms"]]

    def _forward(self, start: int, end: int) -> None:
        for index in range(start, end + 1):
            layer = self.meta[index]
            for k, name in enumerate(layer["tops"]):
                if not layer["inserted"]:
                    self.blobs[name].data[...] = self.golden[f"top/{index}/{k}"]
            for k, blob in enumerate(self.layers[index].blobs):
                if f"after/{index}/{k}" in self.golden:
                    blob.data[...] = self.golden[f"after/{index}/{k}"]

    def _backward(self, start: int, end: int) -> None:
        assert (start, end) == (len(self.meta) - 1, 0)
        for name in self.inputs:
            self.blobs[name].diff[...] = self.golden.get(f"dbottom/{name}", np.zeros_like(self.blobs[name].diff))
        for layer in self.meta:
            for k, blob in enumerate(self.layers[layer["index"]].blobs):
                blob.diff[...] = self.golden[f"dparam/{layer['index']}/{k}"]

    def reshape(self) -> None:
        pass

"""OpenCV 4's Caffe importer as a witness: another reader of the same files, with mistakes of its own that are known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from caffeport.errors import Unportable
from caffeport.graph import Node
from caffeport.port import Port
from caffeport.verify.backends import Arrays, CannotRun, Tops
from caffeport.verify.single import write_single

#: What OpenCV's importer is known to get wrong, by layer type; a difference is put down to it only where it fits.
KNOWN = {"LRN": "it drops k, and takes an unset alpha for 1e-4", "InnerProduct": "it ignores transpose"}


def load_cv2(where: str) -> Any:
    """OpenCV, with its importer.

    Raises:
        Unportable: it is not installed, or it is OpenCV 5, which has no importer.
    """
    try:
        import cv2
    except ImportError:
        raise Unportable(where, "OpenCV is not installed", "", "pip install 'caffeport[witness]'") from None
    if not hasattr(cv2.dnn, "readNetFromCaffe") or int(cv2.__version__.split(".")[0]) > 4:
        raise Unportable(where, f"OpenCV {cv2.__version__} has no Caffe importer", "", "OpenCV 4 has one")
    return cv2


class OpenCv:
    """The importer on the user's own files in chain, and on one layer at a time alone."""

    partial = True

    def __init__(self, port: Port) -> None:
        self.port, self.graph = port, port.graph
        self.cv2 = load_cv2(port.graph.net.file)

    def chain(self, inputs: Arrays) -> Tops:
        """See `Backend.chain`."""
        with self.stops(self.graph.net.file):
            net = self.cv2.dnn.readNetFromCaffe(*map(str, self.files()))
            net.enableFusion(False)
            for value in self.graph.inputs:
                net.setInput(np.ascontiguousarray(inputs[value.blob]), value.blob)
            known = set(net.getLayerNames())
            nodes = [node for node in self.graph.computing if node.tops and node.name in known]
            got = net.forwardAndRetrieve([node.name for node in nodes])
        return {
            (node.index, k): array
            for node, arrays in zip(nodes, got, strict=True)
            for k, array in enumerate(arrays[: len(node.tops)])
        }

    def files(self) -> tuple[Path, ...]:
        """Net and weights as the user gave them.

        Raises:
            Unportable: the net stands in the weights alone, or the weights are HDF5.
        """
        files = self.port.sources
        if len(files) == 1 and not self.graph.parameters:
            return files
        if len(files) != 2 or files[1].suffix == ".h5":
            raise Unportable(self.graph.net.file, "OpenCV wants a .prototxt and a .caffemodel")
        return files

    def alone(self, node: Node, bottoms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See `Backend.alone`."""
        owners = [param.owner or (node.index, k) for k, param in enumerate(node.params)]
        blobs = [self.port.blobs[owner].numpy() for owner in owners]
        with tempfile.TemporaryDirectory() as folder, self.stops(node.label):
            files = write_single(node, bottoms, blobs, Path(folder))
            net = self.cv2.dnn.readNetFromCaffe(*(str(file) for file in files if file))
            net.enableFusion(False)
            for blob, array in dict(zip(node.definition.bottoms, bottoms, strict=True)).items():
                net.setInput(np.ascontiguousarray(array), blob)
            return list(net.forwardAndRetrieve([node.name])[0])[: len(node.tops)]

    @contextmanager
    def stops(self, where: str) -> Iterator[None]:
        """Turn OpenCV's own errors into `CannotRun`, and keep it from printing them."""
        level = self.cv2.utils.logging.setLogLevel(self.cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        except self.cv2.error as error:
            raise CannotRun(where, f"OpenCV does not run it ({' '.join(str(error).split())[:200]})") from None
        finally:
            self.cv2.utils.logging.setLogLevel(level)

"""A .onnx in ONNX Runtime, with or without the preprocessing inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caffeport.artefacts.recipe import METADATA, Recipe
from caffeport.errors import Refused, UnreadableFile
from caffeport.predict.models import Arrays, no_blob
from caffeport.transform.apply import prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from caffeport.transform.preprocessing import Preprocessing

_ERRORS = (
    "Fail",
    "InvalidProtobuf",
    "InvalidGraph",
    "NoSuchFile",
    "InvalidArgument",
    "NotImplemented",
    "RuntimeException",
)


class OnnxModel:
    """A session and the names of what it gives."""

    def __init__(self, path: Path, device: str, blobs: tuple[str, ...]) -> None:
        self.device = device.partition(":")[0]
        self.session = _session(path, device, blobs)
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(one.name for one in inputs)
            raise Refused(str(path), f"has the inputs {names}", "a model that reads pictures has one")
        self.input = inputs[0].name
        self.shape = tuple(side if isinstance(side, int) else None for side in inputs[0].shape)
        notes = self.session.get_modelmeta().custom_metadata_map
        self.recipe = Recipe.from_json(notes[METADATA], str(path)) if METADATA in notes else None
        self.layout = self._layout(inputs[0].type, path)
        outputs = tuple(one.name for one in self.session.get_outputs())
        # With the preprocessing inside, the scores come first, then as many outputs of the net itself.
        self.outputs = blobs or (outputs[len(outputs) // 2 :] if self.layout else outputs)

    def _layout(self, kind: str, path: Path) -> str:
        if kind == "tensor(float)":
            return ""
        if kind != "tensor(uint8)" or len(self.shape) not in (3, 4):
            raise Refused(str(path), f"reads {kind} of {len(self.shape)} axes", "float inputs, or uint8 pictures")
        return "hwc" if len(self.shape) == 3 else "nchw"

    def prepare(self, prep: Preprocessing, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The crops of each picture, one picture after the other."""
        return np.concatenate([prepare(prep, picture) for picture in pictures])

    def run(self, batch: NDArray[Any]) -> Arrays:
        """The outputs, or the blobs that were asked for."""
        return dict(zip(self.outputs, self.session.run(list(self.outputs), {self.input: batch}), strict=True))


def _session(path: Path, device: str, blobs: tuple[str, ...]) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    provider, settings = _provider(onnxruntime, device)
    errors = tuple(getattr(state, name) for name in _ERRORS if hasattr(state, name))
    try:
        model: Any = str(path)
        if blobs:
            model = _with_outputs(path, blobs)
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
        return onnxruntime.InferenceSession(model, options, providers=[(provider, settings)])
    except errors as error:
        raise UnreadableFile(str(path), f"is no model that ONNX Runtime reads ({str(error)[:200]})") from None


def _provider(onnxruntime: Any, device: str) -> tuple[str, dict[str, str]]:
    kind, _, number = device.partition(":")
    providers = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    provider = providers.get(kind, "")
    if provider not in onnxruntime.get_available_providers() or (number and not number.isdigit()):
        have = ", ".join(
            name.removesuffix("ExecutionProvider").lower() for name in onnxruntime.get_available_providers()
        )
        raise Refused("--device", f"is {device!r}", f"this ONNX Runtime has {have}", "onnxruntime-gpu has cuda")
    return provider, {"device_id": number} if number else {}


def _with_outputs(path: Path, blobs: tuple[str, ...]) -> bytes:
    """The model with these blobs among its outputs."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except DecodeError:
        raise UnreadableFile(str(path), "is no ONNX model") from None
    made = [name for node in model.graph.node for name in node.output if name]
    have = {value.name for value in model.graph.output}
    for blob in blobs:
        if blob not in made:
            caffe = [name for name in made if not name.startswith("preprocess/")]
            raise no_blob(path, blob, caffe)
        if blob not in have:
            model.graph.output.append(onnx.helper.make_tensor_value_info(blob, onnx.TensorProto.FLOAT, None))
    whole: bytes = model.SerializeToString()
    return whole

"""Which layers of a net are there for training alone, and what of them stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from caffeport.caffe.net import LayerDef, NetDef
from caffeport.caffe.tree import Field, Message, Token

ACTIVATIONS: Final = {
    "SoftmaxWithLoss": "Softmax",
    "SoftmaxWithLossOHEM": "Softmax",
    "SigmoidCrossEntropyLoss": "Sigmoid",
}
KEPT_PARAMS: Final = {"Softmax": "softmax_param", "Sigmoid": "sigmoid_param"}
_SINKS: Final = frozenset(
    {"Accuracy", "SegAccuracy", "Silence", "HDF5Output", "DetectionEvaluate", "Yolov3", "BoxAnnotatorOHEM"}
)
#: Classes of py-faster-rcnn's Python layers: this one hands on a sample of its first bottom with targets to learn,
#: these make targets or print.
_SAMPLER: Final = "ProposalTargetLayer"
_TARGETS: Final = frozenset({"AnchorTargetLayer", "RPNDebugLayer"})
_CONSTANTS: Final = frozenset({"Parameter", "DummyData"})


def is_sink(layer: LayerDef) -> bool:
    """Whether a layer only measures or trains: a loss, an accuracy, or one that swallows blobs."""
    return layer.type in _SINKS or "Loss" in layer.type or makes_targets(layer)


def makes_targets(layer: LayerDef) -> bool:
    """Whether a Python layer makes what a detector is to learn out of boxes drawn by people."""
    return python_class(layer) in _TARGETS


def python_class(layer: LayerDef) -> str:
    """The class that a Python layer names; empty for any other layer."""
    return layer.fields().sub("python_param").str("layer", "") if layer.type == "Python" else ""


def is_data(layer: LayerDef) -> bool:
    """Whether a layer brings in data: it has no bottoms, and is no Input with a shape and no constant.

    DummyData counts as a constant, as nets use it that have other data too; `deploy` looks after those that have not.
    """
    stated = layer.type == "Input" and bool(layer.message.all("input_param"))
    return not layer.bottoms and bool(layer.tops) and not stated and layer.type not in _CONSTANTS


def simplified(net: NetDef, data: Collection[str]) -> NetDef:
    """The net without Caffe's own Splits and samplers; a batch joined from several data layers becomes one input."""
    same: dict[str, str] = {}
    layers: list[LayerDef] = []
    for layer in net.layers:
        layer = _renamed(layer, same)
        if layer.type == "Split" and layer.tops == tuple(f"{layer.name}_{k}" for k in range(len(layer.tops))):
            same.update((top, layer.bottoms[0]) for top in layer.tops)
            continue
        if python_class(layer) == _SAMPLER and layer.bottoms and layer.tops:
            same[layer.tops[0]] = layer.bottoms[0]
            continue
        if layer.bottoms and all(b in data for b in layer.bottoms) and _joins_batches(layer):
            layer = replace(layer, type="Input", bottoms=(), message=layer.message.without("bottom", "concat_param"))
        layers.append(layer)
    return replace(net, layers=tuple(layers))


def _renamed(layer: LayerDef, names: Mapping[str, str]) -> LayerDef:
    """The layer reading other blobs."""
    if not any(bottom in names for bottom in layer.bottoms):
        return layer
    bottoms = tuple(names.get(bottom, bottom) for bottom in layer.bottoms)
    renamed = iter(bottoms)
    fields = tuple(
        replace(field, value=Token(next(renamed), quoted=True)) if field.name == "bottom" else field
        for field in layer.message.fields
    )
    return replace(layer, bottoms=bottoms, message=replace(layer.message, fields=fields))


def _joins_batches(layer: LayerDef) -> bool:
    """Whether a layer is a Concat along the batch."""
    if layer.type != "Concat":
        return False
    param = layer.fields().sub("concat_param")
    return (param.int("axis", 1) if param.has("axis") else param.int("concat_dim", 1)) == 0


def activation(loss: LayerDef, name: str | None) -> LayerDef:
    """What a loss computes on its way, as a layer of its own that reads the loss's first bottom."""
    kind = ACTIVATIONS[loss.type]
    top = loss.tops[1] if len(loss.tops) > 1 else name or (loss.tops[0] if loss.tops else loss.name)
    fields = (
        Field("name", Token(name or loss.name, quoted=True), loss.where),
        Field("type", Token(kind, quoted=True), loss.where),
        Field("bottom", Token(loss.bottoms[0], quoted=True), loss.where),
        Field("top", Token(top, quoted=True), loss.where),
        *loss.message.all(KEPT_PARAMS[kind]),
    )
    message = Message(fields, loss.where)
    return LayerDef(
        name or loss.name, kind, loss.bottoms[:1], (top,), (), (), (), message, loss.where, phase=loss.phase
    )

"""The deploy net out of a training net, or out of the net that a .caffemodel carries.

Kept is what the predictions depend on, as it computes in the TEST phase. Data layers become Input layers (batch 1, see
`input_shape`); losses and accuracies go, and with them labels and whatever only labels feed. What a loss computes on
its way stays as a layer: SoftmaxWithLoss becomes Softmax, SigmoidCrossEntropyLoss Sigmoid. Where a net has one such
loss and no `prob` yet, layer and top are called `prob`, as in the deploy nets of BVLC's zoo; else they keep the loss's
names. The Split layers that Caffe inserts into the nets that it saves are undone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from caffeport.caffe import wire as w
from caffeport.caffe.input_shape import find_shape
from caffeport.caffe.net import LayerDef, NetDef, build_net, read_net_message
from caffeport.caffe.training import ACTIVATIONS, KEPT_PARAMS, activation, is_data, is_sink, makes_targets, simplified
from caffeport.caffe.tree import Field, Message, Token, Where
from caffeport.caffe.upgrade import upgrade_net
from caffeport.caffe.weights import Weights, open_weights
from caffeport.caffe.wire import Wire
from caffeport.errors import Refused

_LEARNED: Final = frozenset({
    "Convolution", "Deconvolution", "InnerProduct", "Embed", "Scale", "Bias", "PReLU", "BatchNorm", "BN", "LSTM", "RNN",
    "DepthwiseConvolution", "ConvolutionDepthwise", "Normalize",
})  # fmt: skip
_TRAINING_FIELDS: Final = ("include", "exclude", "phase", "loss_weight", "propagate_down", "blobs")


def needs_deploy(net: NetDef) -> bool:
    """Whether a net is a training net: it reads data, measures a loss, or has inputs without a shape.

    Or it has no inputs at all: its data layers belong to the other phase.
    """
    without_inputs = all(layer.bottoms for layer in net.layers)
    return without_inputs or any(is_sink(layer) or is_data(layer) for layer in net.layers)


def deploy(
    source: str | os.PathLike[str] | Message,
    weights: Weights | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> NetDef:
    """Make the deploy net.

    Args:
        source: a net, text or binary, of any era and either phase, or its NetParameter.
        weights: its weights, which tell the input's shape where nothing else does; taken from a .caffemodel itself.
        shapes: input shapes by blob, which come before all that is found.

    Raises:
        UnreadableFile, Refused: also where the shape of an input cannot be told.
    """
    return deploy_with_notes(source, weights, shapes)[0]


def deploy_with_notes(
    source: str | os.PathLike[str] | Message,
    weights: Weights | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> tuple[NetDef, tuple[str, ...]]:
    """As `deploy`, with a sentence on each input whose shape had to be found: its shape and what told it."""
    if isinstance(source, Message):
        file, message = source.where.file, source
    else:
        file, message = os.fspath(source), read_net_message(source)
        if weights is None and w.kind_of(Wire.open(source).data) == "binary":
            weights = open_weights(source)
    net = _for_use(upgrade_net(message))
    stages = ("deploy",) if "deploy" in _stages(net) else ()
    surgeon = _Surgeon(_views(net, file, stages), weights, shapes or {})
    return surgeon.run(), tuple(surgeon.notes)


def _for_use(net: Message) -> Message:
    """The net less what concerns training alone.

    That is the phase of each layer, which Caffe fills in when it saves the net that it trained, and how parameters
    learn; under which name they are shared stays.
    """

    def names(param: Message) -> Message:
        return replace(param, fields=param.all("name") + param.all("share_mode"))

    def cleaned(layer: Message) -> Message:
        return layer.without("phase").changed("param", names)

    return net.without("bn_stats_batch_size").changed("layer", cleaned)


def _stages(net: Message) -> set[str]:
    """Every stage that an include or exclude rule names."""
    rules = [
        rule for layer in net.messages("layer") for name in ("include", "exclude") for rule in layer.messages(name)
    ]
    fields = [field.value for rule in rules for name in ("stage", "not_stage") for field in rule.all(name)]
    return {value.text if isinstance(value, Token) else str(value) for value in fields}


def _views(net: Message, file: str, stages: Sequence[str]) -> list[NetDef]:
    """The net in each phase in which it has layers, TEST first."""
    found = []
    for phase in ("TEST", "TRAIN"):
        try:
            found.append(build_net(net, file, phase, stages=stages))
        except Refused as error:
            if "has no layers in phase" not in error.what:
                raise
    if not found:
        raise Refused(file, "the net has no layers in any phase")
    return found


def input_layer(name: str, tops: Sequence[str], shapes: Sequence[Sequence[int]], where: Where) -> Message:
    """An Input layer with these tops and their shapes."""

    def quoted(field: str, text: str) -> Field:
        return Field(field, Token(text, quoted=True), where)

    dims = (Message(tuple(Field("dim", dim, where) for dim in shape), where) for shape in shapes)
    param = Message(tuple(Field("shape", shape, where) for shape in dims), where)
    head = (quoted("name", name), quoted("type", "Input"), *(quoted("top", top) for top in tops))
    return Message((*head, Field("input_param", param, where)), where)


@dataclass(frozen=True, slots=True)
class _Wired:
    """Layers in order: who makes each bottom (-1: nobody), what depends on something learned, and what on a loss."""

    layers: tuple[LayerDef, ...]
    sources: tuple[tuple[int, ...], ...]
    learned: tuple[bool, ...]
    measured: tuple[bool, ...]

    @classmethod
    def of(cls, layers: Iterable[LayerDef], weights: Weights | None) -> _Wired:
        made_by: dict[str, int] = {}
        sources: list[tuple[int, ...]] = []
        learned: list[bool] = []
        measured: list[bool] = []
        layers = tuple(layers)
        for index, layer in enumerate(layers):
            sources.append(tuple(made_by.get(bottom, -1) for bottom in layer.bottoms))
            own = layer.type in _LEARNED or bool(layer.params) or layer.name in (weights or ())
            learned.append(own or any(learned[source] for source in sources[-1] if source >= 0))
            measured.append(is_sink(layer) or any(measured[source] for source in sources[-1] if source >= 0))
            made_by.update((top, index) for top in layer.tops)
        return cls(layers, tuple(sources), tuple(learned), tuple(measured))

    def closure(self, wanted: Iterable[int]) -> set[int]:
        """Those layers and all that they depend on."""
        found: set[int] = set()
        stack = [index for index in wanted if index >= 0]
        while stack:
            index = stack.pop()
            if index not in found:
                found.add(index)
                stack += [source for source in self.sources[index] if source >= 0]
        return found


class _Surgeon:
    """Cuts one net. `views` are its phases, the one to deploy first."""

    def __init__(self, views: Sequence[NetDef], weights: Weights | None, shapes: Mapping[str, Sequence[int]]) -> None:
        data = {top for view in views for layer in view.layers if is_data(layer) for top in layer.tops}
        self.views = [simplified(view, data) for view in views]
        self.net, self.weights, self.shapes = self.views[0], weights, shapes
        self.notes: list[str] = []
        layers = [layer for view in self.views for layer in view.layers]
        self.only_dummies = not any(is_data(layer) or layer.type == "Input" for layer in layers)

    def run(self) -> NetDef:
        wired = _Wired.of(self._with_activations(), self.weights)
        if not any(wired.learned):  # then nothing tells labels from data, and all is kept
            wired = replace(wired, learned=(True,) * len(wired.layers))
        kept = wired.closure(self._predictions(wired))
        body = [layer for index, layer in enumerate(wired.layers) if index in kept and not self._is_data(layer)]
        needed = self._needed(body)
        inputs = self._inputs(needed, body)
        fields = [
            *(Field("layer", layer, layer.where) for layer in inputs),
            *(Field("layer", layer.message.without(*_TRAINING_FIELDS), layer.where) for layer in body),
        ]
        rest = self.net.message.without("layer", "state", "input", "debug_info", "force_backward")
        return build_net(rest.plus(*fields), self.net.file, "TEST")

    def _is_data(self, layer: LayerDef) -> bool:
        return is_data(layer) or (self.only_dummies and layer.type == "DummyData")

    def _with_activations(self) -> list[LayerDef]:
        """The layers of the phase to deploy, each loss preceded by what it computes on its way.

        A loss that only the other phase has counts too, behind all layers: nets often train by a loss and test by an
        accuracy alone.
        """
        layers: list[LayerDef] = []
        losses = {layer.name for layer in self.net.layers}
        elsewhere = [
            layer for view in self.views[1:] for layer in view.layers if is_sink(layer) and layer.name not in losses
        ]
        everything = (*self.net.layers, *elsewhere)
        heads = [layer for layer in everything if layer.type in ACTIVATIONS and not self._activated(layer)]
        taken = {name for layer in everything for name in (layer.name, *layer.tops)}
        for layer in everything:
            if layer in heads:
                layers.append(activation(layer, "prob" if len(heads) == 1 and "prob" not in taken else None))
                layer = replace(layer, tops=layer.tops[:1])  # the second was the activation's, which makes it now
            layers.append(layer)
        return layers

    def _activated(self, loss: LayerDef) -> bool:
        """Whether the net already computes the loss's activation of the same blob."""
        wanted = ACTIVATIONS[loss.type]
        return any(layer.type == wanted and layer.bottoms == loss.bottoms[:1] for layer in self.net.layers)

    def _predictions(self, wired: _Wired) -> set[int]:
        """The layers whose tops are predictions: nobody reads them, or only losses and accuracies do."""
        read_by_body = {
            source
            for index, sources in enumerate(wired.sources)
            if not is_sink(wired.layers[index])
            for source in sources
        }
        predictions: set[int] = set()
        for index, layer in enumerate(wired.layers):
            if is_sink(layer):
                if layer.type != "Silence" and not makes_targets(layer):
                    read = {s for s in wired.sources[index] if s >= 0 and wired.learned[s]}
                    predictions |= {s for s in read if not wired.measured[s]}
            elif index in read_by_body or wired.measured[index] or self._silenced(wired, index):
                continue
            elif wired.learned[index]:
                predictions.add(index)
        # An activation stands for the scores that it reads: those are a prediction only through it.
        behind = {s for i, layer in enumerate(wired.layers) if layer.type in KEPT_PARAMS for s in wired.sources[i]}
        return {index for index in predictions if index not in behind or not predictions - behind}

    @staticmethod
    def _silenced(wired: _Wired, index: int) -> bool:
        readers = [i for i, sources in enumerate(wired.sources) if index in sources]
        return bool(readers) and all(wired.layers[i].type == "Silence" for i in readers)

    @staticmethod
    def _needed(body: Sequence[LayerDef]) -> list[str]:
        """The blobs that the kept layers read and none of them makes before."""
        made: set[str] = set()
        needed: dict[str, None] = {}
        for layer in body:
            needed.update((bottom, None) for bottom in layer.bottoms if bottom not in made)
            made.update(layer.tops)
        return list(needed)

    def _inputs(self, needed: Sequence[str], body: Sequence[LayerDef]) -> list[Message]:
        """An Input layer for each blob that data layers bring in."""
        inputs = []
        for blob in needed:
            layer = self._data_layer(blob)
            shape, told_by = tuple(self.shapes.get(blob, ())), "given"
            if not shape:
                shape, told_by = find_shape(blob, layer, body, self.weights, self.net.file)
            self.notes.append(f"input {blob!r} is {'x'.join(map(str, shape))} ({told_by})")
            inputs.append(input_layer(blob, (blob,), (shape,), layer.where if layer else self.net.message.where))
        return inputs

    def _data_layer(self, blob: str) -> LayerDef | None:
        """The data layer that makes a blob, in the phase to deploy or else in the other."""
        for view in self.views:
            for layer in view.layers:
                if blob in layer.tops and self._is_data(layer):
                    return layer
        return None

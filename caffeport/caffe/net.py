"""A net definition of any era, text or binary, as one normalised net: upgraded, its phase chosen, its layers typed.

Mirrors Net::Init, Net::FilterNet and Net::StateMeetsRule (net.cpp) of BVLC Caffe.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from caffeport.caffe import wire as w
from caffeport.caffe.binary import read_message
from caffeport.caffe.fields import Fields
from caffeport.caffe.text import parse_text, read_text
from caffeport.caffe.tree import Field, Message, Where
from caffeport.caffe.upgrade import upgrade_net
from caffeport.caffe.wire import Wire
from caffeport.errors import CaffeportError, Refused, UnreadableFile, raise_all

COMMON_FIELDS: Final = (
    "name", "type", "bottom", "top", "param", "loss_weight", "propagate_down", "include", "exclude", "phase", "blobs",
)  # fmt: skip
"""The fields of LayerParameter that belong to every layer type and are read here."""

PHASES: Final = ("TRAIN", "TEST")

_HINTS: Final = (
    "engine", "eltwise_mem_sharing", "default_forward_type", "default_backward_type", "default_forward_math",
    "default_backward_math", "global_grad_scale",
)  # fmt: skip
"""What NVCaffe and Intel Caffe let a net say about speed and precision of a run, and not about what it computes."""

_LAYER_HINTS: Final = ("engine", "forward_type", "backward_type", "forward_math", "backward_math", "quantization_param")
"""The same for a layer: Intel's quantization_param tells how its int8 arithmetic approximates the layer."""


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """How one parameter learns, and the name under which layers share it (empty: not shared)."""

    name: str = ""
    lr_mult: float = 1.0
    decay_mult: float = 1.0
    permissive: bool = False


@dataclass(frozen=True, slots=True)
class LayerDef:
    """One layer as the net defines it; `phase` is its own setting or else the net's."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: tuple[ParamSpec, ...]
    loss_weights: tuple[float, ...]
    propagate_down: tuple[bool, ...]
    message: Message
    where: Where
    phase: str = "TEST"

    @property
    def label(self) -> str:
        """The layer in messages: ``net.prototxt:12: layer 'norm1' (LRN)``."""
        return _label(self.where, self.name, self.type)

    def fields(self) -> Fields:
        """Fresh typed access to the layer's fields; those common to all layers count as read."""
        fields = Fields(self.message, "LayerParameter", self.label)
        fields.ignore(*COMMON_FIELDS, *_LAYER_HINTS)
        return fields


@dataclass(frozen=True, slots=True)
class NetDef:
    """A net in one phase. `message` is the whole upgraded NetParameter, layers of other phases included."""

    name: str
    layers: tuple[LayerDef, ...]
    file: str
    phase: str
    message: Message

    def __iter__(self) -> Iterator[LayerDef]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def layer(self, name: str) -> LayerDef:
        """The last layer of that name, as Caffe looks layers up; KeyError if there is none."""
        for layer in reversed(self.layers):
            if layer.name == name:
                return layer
        raise KeyError(name)

    def without_blobs(self) -> Message:
        """The NetParameter of this phase alone: these layers, no arrays; what `write.net_text` writes."""
        rest = self.message.without("layer")
        return rest.plus(*(Field("layer", layer.message, layer.where) for layer in self.layers))


def read_net(path: str | os.PathLike[str], phase: str = "TEST", level: int = 0, stages: Sequence[str] = ()) -> NetDef:
    """Read a net, text or binary (a .caffemodel holds its net too), in one phase. Raises UnreadableFile, Refused."""
    return build_net(read_net_message(path), os.fspath(path), phase, level, stages)


def parse_net(
    text: str, file: str = "<text>", phase: str = "TEST", level: int = 0, stages: Sequence[str] = ()
) -> NetDef:
    """Read a net from a string of text format, in one phase. Raises UnreadableFile, Refused."""
    return build_net(parse_text(text, file), file, phase, level, stages)


def read_net_message(path: str | os.PathLike[str]) -> Message:
    """The NetParameter in a file as it was written, not upgraded; text and binary are told apart by content."""
    wire = Wire.open(path)
    kind = w.kind_of(wire.data)
    if kind == "text":
        return read_text(path)
    if kind == "hdf5":
        raise UnreadableFile(wire.file, "is an HDF5 file, which holds weights and no net", todo="give the .prototxt")
    message = read_message(wire, "NetParameter", 0, len(wire.data))
    if not any(field.name in ("layer", "layers") for field in message.fields):
        raise UnreadableFile(wire.file, "holds no layers", todo="the file is cut short or no Caffe net")
    return message


def build_net(message: Message, file: str, phase: str = "TEST", level: int = 0, stages: Sequence[str] = ()) -> NetDef:
    """Upgrade a NetParameter and choose its layers for a phase, level and stages. Raises Refused, all at once.

    As in Caffe's constructor, phase and level replace the net's own `state`; stages are added to those it names.
    """
    if phase not in PHASES:
        raise Refused(file, f"phase is {phase!r}", "TRAIN or TEST")
    net = upgrade_net(message)
    fields = Fields(net, "NetParameter", file)
    fields.ignore("force_backward", "debug_info", "layer", *_HINTS, *(("bn_stats_batch_size",) * (phase == "TEST")))
    state = fields.sub("state")
    state.ignore("phase", "level")
    chosen = frozenset((*state.strs("stage"), *stages))
    layers: list[LayerDef] = []
    problems: list[CaffeportError] = []
    for part in net.messages("layer"):
        try:
            layer = _layer(part, phase)
            if _included(layer, phase, level, chosen):
                layers.append(layer)
        except CaffeportError as error:
            problems += error.problems
    name = fields.str("name", "")
    problems += fields.unread()
    if not layers and not problems:
        problems.append(Refused(file, f"the net has no layers in phase {phase}"))
    raise_all(problems)
    return NetDef(name, tuple(layers), file, phase, net)


def _label(where: Where, name: str, kind: str) -> str:
    return f"{where}: layer {name!r} ({kind})"


def _layer(message: Message, phase: str) -> LayerDef:
    """Read what is common to all layers. Raises Refused where a layer has no type."""
    bare = Fields(message, "LayerParameter", f"{message.where}: layer")
    name, kind = bare.str("name", ""), bare.str("type", "")
    if not kind:
        raise bare.refuse("type", "is missing", "every layer has a type")
    fields = Fields(message, "LayerParameter", _label(message.where, name, kind))
    return LayerDef(
        name=name,
        type=kind,
        bottoms=fields.strs("bottom"),
        tops=fields.strs("top"),
        params=tuple(_param(spec, phase) for spec in fields.subs("param")),
        loss_weights=fields.floats("loss_weight"),
        propagate_down=fields.bools("propagate_down"),
        message=message.without("blobs"),
        where=message.where,
        phase=fields.enum("phase", phase) if fields.has("phase") else phase,
    )


def _param(spec: Fields, phase: str) -> ParamSpec:
    """Read a ParamSpec. What forks add to it concerns training alone."""
    read = ParamSpec(
        spec.str("name", ""),
        spec.float("lr_mult", 1.0),
        spec.float("decay_mult", 1.0),
        spec.enum("share_mode", "STRICT") == "PERMISSIVE",
    )
    if phase == "TRAIN":
        raise_all(spec.unread())
    return read


def _included(layer: LayerDef, phase: str, level: int, stages: frozenset[str]) -> bool:
    """Whether the layer takes part: any include rule met, or else no exclude rule met."""
    fields = Fields(layer.message, "LayerParameter", layer.label)
    includes, excludes = fields.subs("include"), fields.subs("exclude")
    if includes and excludes:
        raise fields.refuse("include", "stands beside exclude", "one of the two")
    met = sum(_meets(rule, phase, level, stages) for rule in includes or excludes)
    return met > 0 if includes else met == 0


def _meets(rule: Fields, phase: str, level: int, stages: frozenset[str]) -> bool:
    """Whether every part of a NetStateRule holds (Net::StateMeetsRule). Reads all of it, to refuse what it must."""
    met = not rule.has("phase") or rule.enum("phase") == phase
    met &= not rule.has("min_level") or level >= rule.int("min_level")
    met &= not rule.has("max_level") or level <= rule.int("max_level")
    met &= stages.issuperset(rule.strs("stage"))
    met &= stages.isdisjoint(rule.strs("not_stage"))
    raise_all(rule.unread())
    return met

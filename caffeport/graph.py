"""A net as a graph of values: in-place blobs undone, shapes inferred, shared parameters tied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from caffeport.caffe.net import COMMON_FIELDS, LayerDef, NetDef, ParamSpec
from caffeport.caffe.schema import Schema
from caffeport.errors import CaffeportError, Refused, UnknownLayer, raise_all
from caffeport.layers import Inferred, Layer, Misfit, Shape, Shapes, Site, layer_class
from caffeport.layers.probe import asked
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class Value:
    """One version of a blob.

    Attributes:
        name: unique in the graph: the blob's name for its last version, ``blob@layer`` for one overwritten in place.
        blob: the blob's name in Caffe.
        shape: as inferred, the batch at the size that the net states.
    """

    name: str
    blob: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a node; `owner` is (node index, position) of the parameter that it shares, if it does."""

    shape: Shape
    spec: ParamSpec
    owner: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One layer in its place. `index` is its position in the graph; `loss_weights` has one number per top."""

    index: int
    layer: Layer
    definition: LayerDef
    bottoms: tuple[Value, ...]
    tops: tuple[Value, ...]
    params: tuple[Param, ...]
    loss_weights: tuple[float, ...]
    macs: int

    @property
    def name(self) -> str:
        """The layer's name in Caffe."""
        return self.definition.name

    @property
    def type(self) -> str:
        """The layer's type in Caffe."""
        return self.definition.type

    @property
    def label(self) -> str:
        """File, line, name and type, for messages."""
        return self.definition.label

    @property
    def shapes(self) -> Shapes:
        """Shapes of the bottoms."""
        return tuple(value.shape for value in self.bottoms)

    @property
    def top_shapes(self) -> Shapes:
        """Shapes of the tops."""
        return tuple(value.shape for value in self.tops)


@dataclass(frozen=True, slots=True)
class Graph:
    """A net ready to be emitted. Sources (Input, data layers) are nodes too; their tops are the `inputs`.

    `notes` tell what the net says without effect.
    """

    name: str
    net: NetDef
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    notes: tuple[str, ...] = ()

    @property
    def computing(self) -> Iterator[Node]:
        """The nodes that compute something: all but the sources."""
        return (node for node in self.nodes if not node.layer.source)

    @property
    def parameters(self) -> int:
        """How many numbers the net has learned, shared ones counted once."""
        return sum(prod(param.shape) for node in self.nodes for param in node.params if param.owner is None)

    def stored(self, param: Param) -> Param:
        """The parameter that holds the numbers: itself, or the one that it shares, which may have another shape."""
        return param if param.owner is None else self.nodes[param.owner[0]].params[param.owner[1]]

    def alone(self, node: Node) -> Graph:
        """The graph of this one node, its bottoms as inputs and its tops as outputs."""
        params = tuple(replace(param, owner=None) for param in node.params)
        only = replace(node, index=0, params=params)
        inputs = tuple(dict.fromkeys(node.bottoms))
        return Graph(node.name, self.net, (only,), inputs, node.tops)


def build(net: NetDef, shapes: Mapping[str, Shape] | None = None) -> Graph:
    """The graph of a normalised net.

    Args:
        net: as `caffe.net.read_net` gives it.
        shapes: other shapes for the net's inputs, by blob.

    Raises:
        Problems, UnknownLayer, Refused: everything in the net that cannot be ported, all at once.
    """
    net = _with_automatic_tops(net)
    notes: list[str] = []
    layers = _read_all(net, notes)
    return replace(_Builder(net, layers, shapes or {}).run(), notes=tuple(notes))


def _with_automatic_tops(net: NetDef) -> NetDef:
    """Losses that name no top get one, as in Caffe (AutoTopBlobs); here it is named after the layer."""
    blobs = {blob for definition in net.layers for blob in (*definition.bottoms, *definition.tops)}
    definitions = []
    for definition in net.layers:
        cls = layer_class(definition.type)
        if cls is not None and cls.loss and not definition.tops:
            name = definition.name or "loss"
            while name in blobs:
                name += "'"
            blobs.add(name)
            definition = replace(definition, tops=(name,))
        definitions.append(definition)
    return replace(net, layers=tuple(definitions))


def _read_all(net: NetDef, notes: list[str]) -> list[Layer]:
    problems: list[CaffeportError] = []
    layers: list[Layer] = []
    for definition in net.layers:
        try:
            layers.append(read_layer(definition, net.phase, notes))
        except CaffeportError as problem:
            problems.extend(getattr(problem, "problems", (problem,)))
    raise_all(problems)
    return layers


def read_layer(definition: LayerDef, phase: str, notes: list[str]) -> Layer:
    """One layer, read whole: raises what is unknown, missing, set twice, or set and not understood.

    Messages of other layer types, which Caffe passes over, are told in `notes`.
    """
    cls = layer_class(definition.type)
    if cls is None:
        raise UnknownLayer(definition.label, f"no layer of type {definition.type!r} is known", *_todo_unknown())
    site = Site(len(definition.bottoms), len(definition.tops), phase)
    for what, number, (least, most) in (("bottoms", site.bottoms, cls.bottoms), ("tops", site.tops, cls.tops)):
        if not least <= number <= most:
            allowed = str(least) if least == most else f"{least} or more" if most > 99 else f"{least} to {most}"
            raise Refused(definition.label, f"has {number} {what}", f"{allowed} {what} are possible")
    if len(definition.propagate_down) not in (0, site.bottoms):
        given = f"propagate_down is given {len(definition.propagate_down)} times for {site.bottoms} bottoms"
        raise Refused(definition.label, given, "once per bottom, or never")
    fields = definition.fields()
    try:
        layer = cls.read(fields, site)
    except Misfit as misfit:
        raise misfit.at(definition.label) from None
    for name in fields.names():
        if _idle(name, cls):
            fields.ignore(name)
            notes.append(f"{definition.label}: {name} has no effect on this type, in Caffe as here")
    if fields.has("quantization_param"):
        notes.append(f"{definition.label}: quantization_param asks for int8 arithmetic; the port computes in float32")
    raise_all(fields.unread())
    return layer


def _idle(name: str, cls: type[Layer]) -> bool:
    """Whether a field is one of BVLC's messages for other layer types: set on this one, it changes nothing."""
    known = Schema.load().field_type("LayerParameter", name)
    message = known is not None and known.fork is None and Schema.load().kind(known.type) == "message"
    return message and cls.fork == "BVLC" and name not in COMMON_FIELDS and name not in asked(cls).opened


def _todo_unknown() -> tuple[str, str]:
    return "`caffeport layers` lists the types that are", "rename the layer if it is one of them under another name"


class _Builder:
    """The walk over the layers, in the order in which Caffe runs them."""

    def __init__(self, net: NetDef, layers: Sequence[Layer], shapes: Mapping[str, Shape]) -> None:
        self.net, self.layers, self.shapes = net, layers, dict(shapes)
        self.current: dict[str, Value] = {}
        self.unused: dict[str, Value] = {}
        self.shared: dict[str, tuple[int, int, Shape, str]] = {}
        self.inputs: list[Value] = []
        self.makers: dict[str, Node] = {}
        self.names = _version_names(net)

    def run(self) -> Graph:
        nodes = tuple(self.node(index, layer) for index, layer in enumerate(self.layers))
        if self.shapes:
            raise Refused(
                self.net.file, f"has no input {sorted(self.shapes)[0]!r}", f"its inputs: {self.input_names()}"
            )
        inputs = tuple(self.inputs)
        outputs = tuple(value for value in self.unused.values() if value not in inputs)
        return Graph(self.net.name, self.net, nodes, inputs, outputs)

    def input_names(self) -> str:
        return ", ".join(repr(value.blob) for value in self.inputs) or "none"

    def node(self, index: int, layer: Layer) -> Node:
        definition = self.net.layers[index]
        bottoms = tuple(self.bottom(definition, layer, blob) for blob in definition.bottoms)
        shapes = tuple(value.shape for value in bottoms)
        layer = layer.between(self.path(*bottoms[:2])) if layer.relative else layer
        try:
            inferred = self.infer(definition, layer, shapes)
        except Misfit as misfit:
            raise misfit.at(definition.label) from None
        tops = tuple(
            Value(self.names[index, k], blob, shape)
            for k, (blob, shape) in enumerate(zip(definition.tops, inferred.tops, strict=True))
        )
        for value in tops:
            if value.blob in self.current and value.blob not in definition.bottoms:
                raise Refused(
                    definition.label, f"top {value.blob!r} is made by another layer before", "one maker a blob"
                )
            self.current[value.blob] = self.unused[value.blob] = value
        if layer.source:
            self.inputs += tops
        params = tuple(self.param(index, k, shape) for k, shape in enumerate(inferred.params))
        macs = layer.macs(shapes, inferred)
        made = Node(index, layer, definition, bottoms, tops, params, _loss_weights(definition, layer), macs)
        self.makers.update((value.name, made) for value in tops)
        return made

    def path(self, value: Value, end: Value) -> list[tuple[Layer, Shapes]] | None:
        """The layers that make a value out of another one further up, by first bottoms; None where they do not."""
        found = []
        while value != end:
            maker = self.makers.get(value.name)
            if maker is None or not maker.bottoms:
                return None
            found.append((maker.layer, maker.shapes))
            value = maker.bottoms[0]
        return found

    def bottom(self, definition: LayerDef, layer: Layer, blob: str) -> Value:
        if blob not in self.current:
            raise Refused(
                definition.label, f"bottom {blob!r} is no top of a layer before", f"there are: {self.known()}"
            )
        if not layer.sink:
            self.unused.pop(blob, None)
        return self.current[blob]

    def known(self) -> str:
        names = [repr(blob) for blob in self.current]
        return ", ".join(names[-8:]) + (" and others" if len(names) > 8 else "") if names else "none"

    def infer(self, definition: LayerDef, layer: Layer, shapes: Shapes) -> Inferred:
        if not layer.source:
            return layer.infer(shapes)
        given = [self.shapes.pop(blob, None) for blob in definition.tops]
        if all(given):
            return Inferred(tuple(shape for shape in given if shape))
        inferred = layer.infer(tuple(shape or () for shape in given))
        return Inferred(tuple(shape or own for shape, own in zip(given, inferred.tops, strict=True)))

    def param(self, index: int, k: int, shape: Shape) -> Param:
        definition = self.net.layers[index]
        spec = definition.params[k] if k < len(definition.params) else ParamSpec()
        if not spec.name:
            return Param(shape, spec)
        node, position, first, maker = self.shared.setdefault(spec.name, (index, k, shape, definition.name))
        if (node, position) == (index, k):
            return Param(shape, spec)
        if shape != first and not (spec.permissive and prod(shape) == prod(first)):
            raise Refused(
                definition.label,
                f"shares parameter {spec.name!r} of layer {maker!r} as {show(shape)}, which is {show(first)} there",
                "shapes must be equal, or counts with share_mode: PERMISSIVE",
            )
        return Param(shape, spec, (node, position))


def _loss_weights(definition: LayerDef, layer: Layer) -> tuple[float, ...]:
    tops = len(definition.tops)
    if not definition.loss_weights:
        return (float(layer.loss),) * min(tops, 1) + (0.0,) * (tops - 1)
    if len(definition.loss_weights) != tops:
        given = len(definition.loss_weights)
        raise Refused(definition.label, f"loss_weight is given {given} times for {tops} tops", "one per top, or none")
    return definition.loss_weights


def _version_names(net: NetDef) -> dict[tuple[int, int], str]:
    """Names for every version of every blob: the last keeps the blob's name, which is what Caffe shows after a run."""
    makers: dict[str, list[tuple[int, int]]] = {}
    for index, definition in enumerate(net.layers):
        for k, blob in enumerate(definition.tops):
            makers.setdefault(blob, []).append((index, k))
    names = {places[-1]: blob for blob, places in makers.items()}
    taken = set(makers)
    for blob, places in makers.items():
        for place in places[:-1]:
            name = f"{blob}@{net.layers[place[0]].name}"
            while name in taken:
                name += "'"
            taken.add(name)
            names[place] = name
    return names


def varying_values(graph: Graph) -> frozenset[str]:
    """Values with sides that depend on the data; their shapes tell the most that is possible."""
    found: set[str] = set()
    for node in graph.nodes:
        if node.layer.varying or any(value.name in found for value in node.bottoms):
            found.update(value.name for value in node.tops)
    return frozenset(found)

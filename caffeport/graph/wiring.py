"""Layers joined by their blobs: in-place blobs undone, shapes inferred, shared parameters tied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from caffeport.caffe.net import LayerDef, NetDef, ParamSpec
from caffeport.errors import Refused
from caffeport.graph.names import version_names
from caffeport.graph.values import Graph, Node, Param, Value
from caffeport.layers import Inferred, Layer, Misfit, Shape, Shapes
from caffeport.layers.shapes import show

#: Caffe's own limit on a blob, which it counts with an int (Blob::Reshape, blob.cpp).
MOST_VALUES = 2**31 - 1


class Builder:
    """The walk over the layers, in the order in which Caffe runs them."""

    def __init__(self, net: NetDef, layers: Sequence[Layer], shapes: Mapping[str, Shape]) -> None:
        self.net, self.layers, self.shapes = net, layers, dict(shapes)
        self.current: dict[str, Value] = {}
        self.unused: dict[str, Value] = {}
        self.shared: dict[str, tuple[int, int, Shape, str]] = {}
        self.inputs: list[Value] = []
        self.makers: dict[str, Node] = {}
        self.names = version_names(net)

    def run(self) -> Graph:
        """The graph. Raises Refused for the first blob, shape or parameter that does not fit."""
        nodes = tuple(self._node(index, layer) for index, layer in enumerate(self.layers))
        if self.shapes:
            raise Refused(
                self.net.file, f"has no input {sorted(self.shapes)[0]!r}", f"its inputs: {self._input_names()}"
            )
        inputs = tuple(self.inputs)
        outputs = tuple(value for value in self.unused.values() if value not in inputs)
        return Graph(self.net.name, self.net, nodes, inputs, outputs)

    def _input_names(self) -> str:
        return ", ".join(repr(value.blob) for value in self.inputs) or "none"

    def _node(self, index: int, layer: Layer) -> Node:
        definition = self.net.layers[index]
        bottoms = tuple(self._bottom(definition, layer, blob) for blob in definition.bottoms)
        shapes = tuple(value.shape for value in bottoms)
        layer = layer.between(self._path(*bottoms[:2])) if layer.relative else layer
        try:
            inferred = self._infer(definition, layer, shapes)
        except Misfit as misfit:
            raise misfit.at(definition.label) from None
        for shape in (*inferred.tops, *inferred.params):
            if prod(shape) > MOST_VALUES:
                raise Refused(
                    definition.label,
                    f"has a blob of {show(shape)}, {prod(shape)} values",
                    f"a blob of Caffe's holds {MOST_VALUES} at most",
                )
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
        params = tuple(self._param(index, k, shape) for k, shape in enumerate(inferred.params))
        macs = layer.macs(shapes, inferred)
        made = Node(index, layer, definition, bottoms, tops, params, _loss_weights(definition, layer), macs)
        self.makers.update((value.name, made) for value in tops)
        return made

    def _path(self, value: Value, end: Value) -> list[tuple[Layer, Shapes]] | None:
        """The layers that make a value out of another one further up, by first bottoms; None where they do not."""
        found = []
        while value != end:
            maker = self.makers.get(value.name)
            if maker is None or not maker.bottoms:
                return None
            found.append((maker.layer, maker.shapes))
            value = maker.bottoms[0]
        return found

    def _bottom(self, definition: LayerDef, layer: Layer, blob: str) -> Value:
        if blob not in self.current:
            raise Refused(
                definition.label, f"bottom {blob!r} is no top of a layer before", f"there are: {self._known()}"
            )
        if not layer.sink:
            self.unused.pop(blob, None)
        return self.current[blob]

    def _known(self) -> str:
        names = [repr(blob) for blob in self.current]
        return ", ".join(names[-8:]) + (" and others" if len(names) > 8 else "") if names else "none"

    def _infer(self, definition: LayerDef, layer: Layer, shapes: Shapes) -> Inferred:
        if not layer.source:
            return layer.infer(shapes)
        given = [self.shapes.pop(blob, None) for blob in definition.tops]
        if all(given):
            return Inferred(tuple(shape for shape in given if shape))
        inferred = layer.infer(tuple(shape or () for shape in given))
        return Inferred(tuple(shape or own for shape, own in zip(given, inferred.tops, strict=True)))

    def _param(self, index: int, k: int, shape: Shape) -> Param:
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

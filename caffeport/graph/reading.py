"""Every layer of a net, read whole or refused; all refusals at once."""

from __future__ import annotations

from caffeport.caffe.net import COMMON_FIELDS, LayerDef, NetDef
from caffeport.caffe.schema import Schema
from caffeport.errors import CaffeportError, Refused, UnknownLayer, raise_all
from caffeport.layers import Layer, Misfit, Site, layer_class
from caffeport.layers.base import MANY
from caffeport.layers.probe import asked


def read_all(net: NetDef, notes: list[str]) -> list[Layer]:
    """The layers of a net in order; what it says without effect is told in `notes`. Raises all refusals at once."""
    problems: list[CaffeportError] = []
    layers: list[Layer] = []
    for definition in net.layers:
        try:
            layers.append(read_layer(definition, net.phase, notes))
        except CaffeportError as problem:
            problems += problem.problems
    raise_all(problems)
    return layers


def read_layer(definition: LayerDef, phase: str, notes: list[str]) -> Layer:
    """One layer, read whole: raises what is unknown, missing, set twice, or set and not understood.

    Messages of other layer types, which Caffe passes over, are told in `notes`.
    """
    cls = layer_class(definition.type)
    if cls is None:
        raise UnknownLayer(
            definition.label,
            f"no layer of type {definition.type!r} is known",
            "`caffeport layers` lists the types that are",
            "rename the layer if it is one of them under another name",
        )
    site = Site(len(definition.bottoms), len(definition.tops), phase)
    for what, number, (least, most) in (("bottoms", site.bottoms, cls.bottoms), ("tops", site.tops, cls.tops)):
        if not least <= number <= most:
            raise Refused(definition.label, f"has {number} {what}", f"{span(least, most)} {what} are possible")
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


def span(least: int, most: int) -> str:
    """A range of counts as text: ``2``, ``1 to 3`` or ``1 or more``."""
    return str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"


def _idle(name: str, cls: type[Layer]) -> bool:
    """Whether a field is one of BVLC's messages for other layer types: set on this one, it changes nothing."""
    known = Schema.load().field_type("LayerParameter", name)
    message = known is not None and known.fork is None and Schema.load().kind(known.type) == "message"
    return message and cls.fork == "BVLC" and name not in COMMON_FIELDS and name not in asked(cls).opened

"""Deliberate misreadings of layers: mutations of the faces `read` and `torch`, and of the weights on their way in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest

from caffeport.layers import Call, Layer, Shapes, registry
from caffeport.port import Port

Mutation: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def reread(type_: str, change: Callable[[Any], Any] | None = None, **fields: Any) -> Mutation:
    """A mutant of the face `read`: the layer as read, changed; or with some of its fields changed."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        cls: Any = registry()[type_]
        read = cls.read
        changed = change or (lambda layer: replace(layer, **fields))
        patch.setattr(cls, "read", classmethod(lambda _cls, f, at: changed(read(f, at))))

    return mutate


def recall(type_: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Mutation:
    """A mutant of the face `torch`: the module's arguments, changed."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        cls = registry()[type_]
        face = cls.torch

        def changed(self: Layer, bottoms: Shapes) -> Call:
            call: Call = face(self, bottoms)
            return replace(call, kwargs=change(dict(call.kwargs)))

        patch.setattr(cls, "torch", changed)

    return mutate


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {key: value for key, value in given.items() if key != name}


def reweigh(change: Callable[[str, np.ndarray], np.ndarray]) -> Mutation:
    """A mutant of the weights on their way into the port."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        arrays = Port.arrays
        patch.setattr(Port, "arrays", lambda self: {key: change(key, array) for key, array in arrays(self).items()})

    return mutate

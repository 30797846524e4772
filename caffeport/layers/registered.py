"""Which class stands for a Python layer of a net: told by the user, never taken from the file.

    @caffeport.register_python_layer("rpn.proposal_layer", "ProposalLayer")
    class Proposals(nn.Module):
        def __init__(self, param_str: str) -> None: ...
        def forward(self, *bottoms): ...            # as many tops as the layer has
        @staticmethod
        def infer(bottoms, tops, param_str): ...    # a shape per top

A net names a module and a class; that text chooses among what was registered here, and nothing else happens with it.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

from caffeport.layers.base import Call, Inferred, Onnx, Shapes

C = TypeVar("C", bound=type)


class PythonLayer(Protocol):
    """A registered layer in its place, made from its param_str; it may also have the face ``onnx(g)``."""

    def infer(self, bottoms: Shapes, tops: int) -> Inferred | Shapes:
        """A shape per top, or an `Inferred` where the layer has parameters; may raise `Misfit`."""

    def torch(self, bottoms: Shapes) -> Call:
        """The module that computes it."""


_CLASSES: dict[tuple[str, str], Callable[[str], PythonLayer]] = {}
_FOREIGN = frozenset({"nn", "torch", "F", "math", "json", "mmap", "Tensor", "Path"})


@overload
def register_python_layer(module: str, layer: str) -> Callable[[C], C]: ...
@overload
def register_python_layer(module: str, layer: str, cls: C) -> C: ...
def register_python_layer(module: str, layer: str, cls: type | None = None) -> Any:
    """Say what computes the Python layers that a net calls `layer` of `module`; also a decorator for the class.

    Args:
        module, layer: the words of python_param.
        cls: a torch module made as ``cls(param_str)``, with a static ``infer(bottoms, tops, param_str)`` that gives a
            shape per top (or an `Inferred`, the parameters' names then in its attribute ``state``), and perhaps a
            static ``onnx(g, param_str)`` that adds nodes. Emitted source imports it, so it must stand at the top
            level of a module. Or a description, made likewise, with the faces of `PythonLayer`.

    Raises:
        TypeError: the class lacks a face, or emitted source could not import it.
    """
    if cls is None:
        return lambda given: register_python_layer(module, layer, given)
    if not callable(getattr(cls, "infer", None)):
        raise TypeError(f"{cls.__name__} lacks infer(bottoms, tops, param_str), which gives a shape per top")
    if callable(getattr(cls, "torch", None)):
        _CLASSES[module, layer] = cls
    else:
        _check_importable(cls)
        _CLASSES[module, layer] = lambda param_str: _Module(cls, param_str)
    return cls


def registered(module: str, layer: str) -> Callable[[str], PythonLayer] | None:
    """What makes the layer from its param_str; None where nothing was registered."""
    return _CLASSES.get((module, layer))


def _check_importable(cls: type) -> None:
    parts = [*cls.__module__.split("."), cls.__qualname__]
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts) or parts[0] in _FOREIGN:
        place = f"{cls.__module__}.{cls.__qualname__}"
        raise TypeError(f"{place} cannot be imported by emitted source: define the class at the top level of a module")


class _Module:
    """A user's torch module as a `PythonLayer`."""

    def __init__(self, cls: Any, param_str: str) -> None:
        self.cls, self.param_str = cls, param_str

    def infer(self, bottoms: Shapes, tops: int) -> Inferred | Shapes:
        made: Inferred | Shapes = self.cls.infer(bottoms, tops, self.param_str)
        return made

    def torch(self, bottoms: Shapes) -> Call:
        name = f"{self.cls.__module__}.{self.cls.__qualname__}"
        return Call(name, (self.param_str,), {}, tuple(getattr(self.cls, "state", ())))

    def onnx(self, g: Onnx) -> None:
        if not hasattr(self.cls, "onnx"):
            raise g.refuse(f"{self.cls.__qualname__}, registered for this layer, has no `onnx` face")
        self.cls.onnx(g, self.param_str)

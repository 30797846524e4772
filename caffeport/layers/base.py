"""What a Caffe layer type is: one frozen dataclass with four faces.

`read` takes the proto fields into the dataclass, `infer` gives shapes, `torch` a constructor call as data, `onnx` the
nodes. A type is described once; emitters, the support table and the tests know it only through this class.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self, TypeAlias

from caffeport.caffe.fields import Fields
from caffeport.errors import Refused

Shape: TypeAlias = tuple[int, ...]
Shapes: TypeAlias = tuple[Shape, ...]

#: Any number of bottoms or tops.
MANY = 1 << 30


class Misfit(Refused):
    """A refusal that does not know its layer yet: `graph.build` puts the place in front."""

    def __init__(self, what: str, allowed: str = "", todo: str = "") -> None:
        super().__init__("layer", what, allowed, todo)

    def at(self, where: str) -> Refused:
        """The same refusal with its place."""
        return Refused(where, self.what, self.allowed, self.todo)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer stands: what `read` may need besides the layer's own fields."""

    bottoms: int
    tops: int
    phase: str


@dataclass(frozen=True, slots=True)
class Inferred:
    """Shapes of a layer's tops and of its parameters (Caffe's blobs, in Caffe's order)."""

    tops: Shapes
    params: Shapes = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A module's constructor call, as data.

    Attributes:
        name: ``nn.Conv2d`` (torch's) or the bare name of a class in `caffeport.nn`.
        args, kwargs: numbers, booleans, None, strings and tuples of them: what `repr` prints exactly.
        state: the module's tensor for each Caffe blob, of the very shape that `infer` gives.
        each: the module is called once per bottom (Caffe's layers that share weights over their bottoms).
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    state: tuple[str, ...] = ()
    each: bool = False


#: One step of `Onnx.scan`: states and elements to next states and what is put out.
Body: TypeAlias = Callable[[list[str], list[str]], tuple[list[str], list[str]]]


class Onnx(Protocol):
    """What a layer sees of the ONNX model being built: names and shapes, and a way to add nodes.

    `bottoms`, `tops` and `params` are value names; `shapes` and `top_shapes` the inferred shapes, whose first axis
    must not be taken for a constant.
    """

    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    params: tuple[str, ...]
    shapes: Shapes
    top_shapes: Shapes
    param_shapes: Shapes

    def op(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str] | None = None, **attributes: Any) -> str:
        """Add a node; with `outputs` None its one output gets a fresh name. Returns the first output's name."""

    def ops(self, op_type: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Add a node with several outputs, which get fresh names."""

    def scan(self, body: Body, states: Sequence[str], along: Sequence[str], outputs: Sequence[str]) -> tuple[str, ...]:
        """Add a loop over the first axis of `along`: `body` adds the nodes of one step.

        It is given the names of the states and of each one's element, and gives the names of the next states and of
        what the step puts out, all of them different. `outputs` name what is put out, stacked; returns the names of
        the last states.
        """

    def ints(self, values: Sequence[int] | Sequence[Sequence[int]] | int) -> str:
        """An int64 constant: a 1-D or 2-D tensor, or a scalar for a bare number."""

    def floats(self, values: Any) -> str:
        """A float32 constant of any shape (a nested sequence, a number or an array)."""

    def refuse(self, reason: str) -> Refused:
        """The error to raise where ONNX has no exact construction."""


_REGISTRY: dict[str, type[Layer]] = {}
_FACES = ("read", "infer", "torch", "onnx")


class Layer(ABC):
    """A Caffe layer type. Subclasses are frozen dataclasses, final, registered by their `type`.

    Class attributes:
        type: the layer's type as Caffe names it; `aliases` other names of the same thing.
        bottoms, tops: how many are allowed, as (least, most).
        fork: whose layer it is; mirrors: the source file that defines it.
        loss: the first top counts in the objective unless loss_weight says otherwise.
        source: its tops are the inputs of the port.
        sink: only writes its bottoms somewhere, which a port does not: they stay outputs instead.
        varying: how many rows the tops have depends on the data; the inferred count is the most that is possible.
        relative: what it does depends on the layers between its two bottoms, which `between` is told.
        no_onnx: why ONNX cannot say it (empty where it can).
    """

    type: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    bottoms: ClassVar[tuple[int, int]] = (1, 1)
    tops: ClassVar[tuple[int, int]] = (1, 1)
    fork: ClassVar[str] = "BVLC"
    mirrors: ClassVar[str] = ""
    loss: ClassVar[bool] = False
    source: ClassVar[bool] = False
    sink: ClassVar[bool] = False
    varying: ClassVar[bool] = False
    relative: ClassVar[bool] = False
    no_onnx: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register the type; a missing face or a second class for a type is a mistake in the program."""
        super().__init_subclass__(**kwargs)
        if cls.__mro__[1] is not Layer:
            raise TypeError(f"{cls.__name__}: layer types are final, share arithmetic through functions")
        missing = [face for face in _FACES if face not in cls.__dict__]
        if missing == ["onnx"] and cls.no_onnx:
            missing = []
        if missing or not cls.type:
            raise TypeError(f"{cls.__name__} lacks {', '.join(missing or ['type'])}")
        for name in (cls.type, *cls.aliases):
            known = _REGISTRY.get(name)
            # `dataclass(slots=True)` makes the class anew: the same place in the source is the same type.
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"layer type {name} has two classes: {known.__name__} and {cls.__name__}")
            _REGISTRY[name] = cls

    @classmethod
    @abstractmethod
    def read(cls, f: Fields, at: Site) -> Self:
        """Take the fields; whatever is set and not read here is refused afterwards."""

    @abstractmethod
    def infer(self, bottoms: Shapes) -> Inferred:
        """Shapes of tops and parameters from those of the bottoms; raises `Misfit` where Caffe would stop.

        A source has no bottoms: it gets the shapes that the caller of `graph.build` gives for its tops, () for none.
        """

    @abstractmethod
    def torch(self, bottoms: Shapes) -> Call:
        """The module that computes this layer, for bottoms of these shapes."""

    def onnx(self, g: Onnx) -> None:
        """Add the nodes that compute this layer."""
        raise g.refuse(self.no_onnx)

    def aligned(self, got: Any, want: Any) -> Any:
        """A top (an array) in the order of Caffe's, where Caffe's sort leaves the order of equals open."""
        return got

    def between(self, path: Sequence[tuple[Layer, Shapes]] | None) -> Layer:
        """The layer as it is behind `path`: the layers, with their bottoms' shapes, from bottom 0 back to bottom 1.

        First bottoms are followed; None where they do not lead there.
        """
        return self

    def batch_axis(self, bottom: int) -> int:
        """Along which axis of a bottom the batch lies: 1 where the first counts the steps of a sequence."""
        return 0

    def macs(self, bottoms: Shapes, inferred: Inferred) -> int:
        """Multiply-adds of one forward pass, by the usual count: weights only (0 for the rest)."""
        return 0


def registry() -> Mapping[str, type[Layer]]:
    """All layer types known, by name (aliases too)."""
    return MappingProxyType(_REGISTRY)


def describe(cls: type[Layer]) -> str:
    """The first sentence of a layer type's docstring."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")

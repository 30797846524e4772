"""What the faces of many layer types have in common: bounds in `read`, shapes in `infer`, arguments in `torch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Inferred, Shapes

if TYPE_CHECKING:
    from typing import Any


def positive(p: Fields, name: str) -> int:
    """A whole number that must be above 0, and be there if the schema has no default."""
    value = p.int(name)
    if value < 1:
        raise p.refuse(name, f"is {value}", "1 or more is possible")
    return value


def distinct(f: Fields) -> None:
    """Refuse a layer that writes over its bottom where Caffe forbids it."""
    if both := sorted({*f.strs("bottom")} & {*f.strs("top")}):
        raise f.refuse("top", f"{both[0]!r} is a bottom as well", "Caffe does not run this layer in place")


def unary(self: object, bottoms: Shapes) -> Inferred:
    """The face `infer` of every layer whose tops have the shapes of its bottoms and that has no parameters."""
    return Inferred(bottoms)


def options(**given: tuple[Any, Any]) -> dict[str, Any]:
    """Keyword arguments that differ from the module's defaults, each given as (value, default)."""
    return {name: value for name, (value, default) in given.items() if value != default}

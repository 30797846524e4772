"""What the losses share: how their sum is normalised, and how labels line up with scores."""

from __future__ import annotations

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Misfit, Onnx, Shapes
from caffeport.layers.nodes import FLOAT, INT64
from caffeport.layers.shapes import axis_of, count, show


def read_normalization(f: Fields, default: str = "VALID", older: bool = True) -> tuple[int | None, str]:
    """`ignore_label` (None: every label counts) and the mode; `older`: the bool `normalize` of old nets counts too."""
    p = f.sub("loss_param")
    ignore = p.int("ignore_label") if p.has("ignore_label") else None
    if p.has("normalize") and not older:
        raise p.refuse("normalize", "is set", "Caffe takes normalization only in this layer")
    normalize = p.bool("normalize", None)
    if normalize is not None and not p.has("normalization"):
        return ignore, "VALID" if normalize else "BATCH_SIZE"
    return ignore, p.enum("normalization", default)


def same_batch(bottoms: Shapes) -> None:
    """Refuse scores and labels of different batches (LossLayer::Reshape)."""
    if not bottoms[0] or bottoms[0][:1] != bottoms[1][:1]:
        shapes = f"bottom 0 is {show(bottoms[0])}, bottom 1 is {show(bottoms[1])}"
        raise Misfit(shapes, "the first sides must be equal")


def one_label_each(bottoms: Shapes, axis: int) -> int:
    """The class axis, counted from the front; refuses labels that are not one per place beside that axis."""
    axis = axis_of(axis, len(bottoms[0]))
    places = count(bottoms[0], 0, axis) * count(bottoms[0], axis + 1)
    if count(bottoms[1]) != places:
        shapes = f"{show(bottoms[0])} has {places} places beside axis {axis}, the labels are {show(bottoms[1])}"
        raise Misfit(shapes, "one label a place is needed")
    return axis


def one_label_a_row(bottoms: Shapes) -> None:
    """Refuse labels that are not one per picture (the older losses)."""
    same_batch(bottoms)
    if count(bottoms[1]) != bottoms[1][0]:
        raise Misfit(f"the labels are {show(bottoms[1])}", "one label a picture is possible")


def index_node(g: Onnx, axis: int) -> str:
    """Labels as whole numbers, shaped like the scores with one place on the class axis."""
    sides = g.shapes[0]
    place = (*sides[:axis], 1, *sides[axis + 1 :])
    return reshape_free(g, g.op("Cast", [g.bottoms[1]], to=INT64), place)


def reshape_free(g: Onnx, value: str, shape: tuple[int, ...]) -> str:
    """A value under another shape, whose first side follows the batch."""
    return g.op("Reshape", [value, g.ints((-1, *shape[1:]))])


def kept_node(g: Onnx, index: str, ignore: int | None) -> str | None:
    """Where a label counts; None: everywhere."""
    return None if ignore is None else g.op("Not", [g.op("Equal", [index, g.ints([ignore])])])


def chosen_node(g: Onnx, index: str, kept: str | None) -> str:
    """The index with 0 for labels that are ignored, which may be no class."""
    return index if kept is None else g.op("Where", [kept, index, g.ints([0])])


def total_node(g: Onnx, each: str, kept: str | None) -> str:
    """Sum over all places that count."""
    counted = each if kept is None else g.op("Where", [kept, each, g.floats(0.0)])
    return g.op("ReduceSum", [counted], keepdims=0)


def normalised(g: Onnx, total: str, mode: str, places: str, inner: int, kept: str | None = None) -> None:
    """Divide a sum into the first top as the mode says, by 1 at least.

    `places` has one element per label, `inner` of them for each step of the axes before the class axis.
    """
    if mode == "NONE":
        g.op("Identity", [total], g.tops[:1])
        return
    if mode == "VALID" and kept is not None:
        number = g.op("ReduceSum", [g.op("Cast", [kept], to=FLOAT)], keepdims=0)
    else:
        number = g.op("Cast", [g.op("Size", [places])], to=FLOAT)
    if mode == "BATCH_SIZE" and inner > 1:
        number = g.op("Div", [number, g.floats(float(inner))])
    g.op("Div", [total, g.op("Max", [number, g.floats(1.0)])], g.tops[:1])

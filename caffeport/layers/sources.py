"""What the data layers share: the shapes of their tops, as far as a net tells them.

Where data lies and how it is transformed does not change what the port computes from its inputs on. Those fields stay
readable in the node's definition, for training; here they count as seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Misfit, Onnx, Shape, Shapes


def read_rest(p: Fields) -> None:
    """Count every field of a data layer's message as seen."""
    p.ignore(*p.names())


def read_crop(f: Fields) -> Shape:
    """Height and width that transform_param cuts or resizes pictures to; empty where it does neither.

    crop_h, crop_w and resize_param are the SSD fork's; where a YOLO fork lists several sizes to train on in turn, the
    first one counts.
    """
    t = f.sub("transform_param")
    size = t.int("crop_size", 0)
    sides = (t.int("crop_h", size), t.int("crop_w", size))
    if not all(sides):
        sizes = t.subs("resize_param", "ResizeParameter")
        sides = (sizes[0].int("height", 0), sizes[0].int("width", 0)) if sizes else sides
        for size_param in sizes:
            read_rest(size_param)
    read_rest(t)
    return sides if all(sides) else ()


def picture(batch: int, channels: int, sides: Shape) -> Shape | None:
    """The shape of a batch of pictures; None where a part of it is unknown."""
    return (batch, channels, *sides) if batch and channels and len(sides) == 2 else None


def batch_of(given: Shapes, known: Shape | None, batch: int) -> int:
    """The batch: that of the first top if its shape is given or known, so that labels follow it."""
    first = (given[0] if given else ()) or known
    return first[0] if first else batch


def complete(given: Shapes, known: Sequence[Shape | None]) -> Inferred:
    """A source's tops: each as given from outside, else as the net tells it; refuses where neither does."""
    shapes = []
    for k, own in enumerate(known):
        shape = (given[k] if k < len(given) else ()) or own
        if not shape or min(shape) < 1:
            todo = "give it with the net: build(net, shapes={blob: (N, C, H, W)})"
            raise Misfit(f"the shape of top {k} stands in the data and not in the net", todo=todo)
        shapes.append(shape)
    return Inferred(tuple(shapes))


def labelled(given: Shapes, batch: int, channels: int, sides: Shape, tops: int = 2) -> Inferred:
    """Pictures, and where there are two tops one label for each."""
    data = picture(batch, channels, sides)
    return complete(given, (data, (batch_of(given, data, batch),))[:tops])


def no_call(self: object, bottoms: Shapes) -> Call:
    """The face `torch` of every source."""
    raise Misfit("is an input, not a module")


def no_nodes(self: object, g: Onnx) -> None:
    """The face `onnx` of every source."""
    raise g.refuse("is an input, not a node")

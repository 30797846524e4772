"""Preprocessing inside an ONNX model: a picture of bytes goes in, of any size, and the score comes out.

The resize is OpenCV's own fixed-point arithmetic (cv::resize, INTER_LINEAR on uint8: coefficients of 11 bits, a
horizontal and a vertical pass), or Pillow's (22 bits), so that the numbers are those of the Python path, bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from caffeport.emit.onnx_resize import Nodes, resize_opencv, resize_pillow
from caffeport.errors import Refused, Unportable

if TYPE_CHECKING:
    from caffeport.transform.apply import Cut
    from caffeport.transform.preprocessing import Preprocessing
    from caffeport.transform.profiles import OutputMap

LAYOUTS: Final = ("hwc", "nchw")
"""``hwc``: one picture, height x width x channels; ``nchw``: a batch of pictures of one size."""

PICTURE: Final = "picture"
SCORE: Final = "score"


@dataclass(frozen=True, slots=True)
class Front:
    """What stands before the net.

    Args:
        prep: the preprocessing, without chance.
        cuts: its crops (`transform.plan_cuts`) of a picture of `size`.
        size: height and width of the picture after the resize.
        layout: one of `LAYOUTS`.
        output: maps the mean score of the crops.
    """

    prep: Preprocessing
    cuts: Sequence[Cut]
    size: tuple[int, int]
    layout: str = "hwc"
    output: OutputMap | None = None

    @property
    def channels(self) -> int:
        """Channels of the picture: 3 (RGB), or 1 for a net that reads grey ones."""
        return 1 if self.prep.colour == "gray" else 3


def attach(model: onnx.ModelProto, front: Front) -> None:
    """Put the preprocessing before the model's only input, and the mean over the crops behind its outputs.

    The new input is ``picture`` (uint8, RGB or grey, any size where there is a resize); the outputs are ``score``
    first, (N, ...) with the crops averaged and mapped, then the net's own under Caffe's names, (N x crops, ...).

    Raises:
        Refused, Unportable: several inputs, another size or layout, a batch that cannot follow the crops.
    """
    graph = model.graph
    _check(graph, front)
    names = [value.name for value in (*graph.input, *graph.initializer)]
    nodes = Nodes({*names, *(name for node in graph.node for name in node.output)})
    own = graph.input[0]
    picture = nodes.fresh(PICTURE)
    _prepare(nodes, front, picture, own.name)
    before, behind = list(nodes.nodes), len(nodes.nodes)
    outputs = [_score(nodes, front, value, len(graph.output) == 1) for value in graph.output]
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *body, *nodes.nodes[behind:]])
    graph.initializer.extend(nodes.constants.values())
    ours = [*outputs, *graph.output]
    del graph.output[:]
    graph.output.extend(ours)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(picture, TensorProto.UINT8, _picture_shape(front)))


def _check(graph: onnx.GraphProto, front: Front) -> None:
    where = graph.name
    if front.layout not in LAYOUTS:
        raise Refused(where, f"the layout is {front.layout!r}", f"one of {', '.join(LAYOUTS)}")
    if len(graph.input) != 1:
        found = ", ".join(value.name for value in graph.input)
        raise Unportable(where, f"has the inputs {found}", "preprocessing goes before a single one")
    if front.prep.exif or front.prep.colour == "native":
        raise Unportable(where, "EXIF turns and 'native' colours are a matter of the file", "a picture has neither")
    if front.prep.resize is not None and front.prep.resize.method == "pycaffe":
        raise Unportable(where, "the resize 'pycaffe' works on floats in double precision", "'opencv' or 'pillow'")
    sides = [side.dim_value if side.HasField("dim_value") else 0 for side in graph.input[0].type.tensor_type.shape.dim]
    wanted = (front.channels, front.cuts[0].height, front.cuts[0].width)
    if len(sides) != 4 or any(side not in (0, want) for side, want in zip(sides[1:], wanted, strict=True)):
        raise Refused(where, f"reads {sides[1:]} and the preprocessing gives {list(wanted)}", "the two must be equal")
    if sides[0] and (front.layout != "hwc" or sides[0] != len(front.cuts)):
        crops = len(front.cuts)
        raise Unportable(where, f"has a fixed batch of {sides[0]}, for {crops} crops a picture", "a free batch")


def _picture_shape(front: Front) -> list[int | str]:
    high, wide = ("height", "width") if front.prep.resize is not None else front.size
    return [high, wide, front.channels] if front.layout == "hwc" else ["N", front.channels, high, wide]


def _prepare(nodes: Nodes, front: Front, picture: str, target: str) -> None:
    """Every step of `Preprocessing`, in its order; channels come first from the resize on."""
    axes = (0, 1) if front.layout == "hwc" else (2, 3)
    value = picture
    if front.prep.resize is not None:
        resize = {"opencv": resize_opencv, "pillow": resize_pillow}[front.prep.resize.method]
        value = resize(nodes, value, front.size, axes)
    if front.layout == "hwc":
        value = nodes.op("Unsqueeze", nodes.op("Transpose", value, perm=[2, 0, 1]), nodes.ints(0))
    if front.prep.order == "BGR" and front.channels == 3:
        value = nodes.op("Gather", value, nodes.ints(2, 1, 0), axis=1)
    value = nodes.cast(value, TensorProto.FLOAT)
    whole = front.prep.mean is None or front.prep.mean.shape[1:] == front.size
    if not whole:  # a mean of the crop's size: crop first
        _arithmetic(nodes, front, _crop(nodes, front, value, ""), target)
    elif len(front.cuts) == 1 and front.cuts[0][:4] == (0, 0, *front.size) and not front.cuts[0].mirrored:
        _arithmetic(nodes, front, value, target)
    else:
        _crop(nodes, front, _arithmetic(nodes, front, value, ""), target)


def _arithmetic(nodes: Nodes, front: Front, value: str, target: str) -> str:
    """Range, raw scale, mean and scale, each a node of its own: each rounds to float32 as Caffe's steps do."""
    prep = front.prep
    steps: list[tuple[str, Any]] = []
    if prep.value_range != 255:
        steps.append(("Div", 255.0))
    if prep.raw_scale != 1:
        steps.append(("Mul", prep.raw_scale))
    if prep.mean is not None:
        steps.append(("Sub", prep.mean.array[None]))
    elif prep.mean_values:
        steps.append(("Sub", np.asarray(prep.mean_values)[None, :, None, None]))
    if prep.scale != 1:
        steps.append(("Mul", prep.scale))
    if not steps and target:
        return nodes.op("Identity", value, to=target)
    for number, (op_type, operand) in enumerate(steps):
        last = number == len(steps) - 1
        value = nodes.op(op_type, value, nodes.const(operand, np.float32), to=target if last else "")
    return value


def _crop(nodes: Nodes, front: Front, value: str, target: str) -> str:
    """(N, C, H, W) to (N x crops, C, h, w): a picture's crops follow one another."""
    pieces = []
    for cut in front.cuts:
        piece = nodes.slice(value, (cut.top, cut.left), (cut.top + cut.height, cut.left + cut.width), (2, 3))
        if cut.mirrored:
            backward = (nodes.ints(-1), nodes.ints(-(2**31)), nodes.ints(3), nodes.ints(-1))
            piece = nodes.op("Slice", piece, *backward)
        pieces.append(piece)
    if len(pieces) == 1:
        return nodes.op("Identity", pieces[0], to=target)
    if front.layout == "hwc":
        return nodes.op("Concat", *pieces, to=target, axis=0)
    stacked = nodes.op("Concat", *(nodes.op("Unsqueeze", piece, nodes.ints(1)) for piece in pieces), axis=1)
    shape = nodes.ints(-1, front.channels, front.cuts[0].height, front.cuts[0].width)
    return nodes.op("Reshape", stacked, shape, to=target)


def _score(nodes: Nodes, front: Front, value: onnx.ValueInfoProto, only: bool) -> onnx.ValueInfoProto:
    """The mean of an output over each picture's crops, mapped where a map is wanted."""
    dims = value.type.tensor_type.shape.dim
    sides = [side.dim_value if side.HasField("dim_value") else None for side in dims[1:]]
    name = nodes.fresh(SCORE if only else f"{SCORE}/{value.name}")
    mapped = front.output is not None and front.output.name != "raw"
    target = "" if mapped else name
    if len(front.cuts) == 1:
        mean = nodes.op("Identity", value.name, to=target)
    else:
        # Without the rest's sizes the first axis alone is split: (N x crops, ...) -> (N, crops, ...).
        rest = nodes.slice(nodes.op("Shape", value.name), (1,), (2**31,), (0,))
        shape = nodes.op("Concat", nodes.ints(-1, len(front.cuts)), rest, axis=0)
        mean = nodes.op("ReduceMean", nodes.op("Reshape", value.name, shape), to=target, axes=[1], keepdims=0)
    if mapped and front.output is not None:
        one = front.output
        moved = nodes.op("Sub", mean, nodes.const(one.subtract, np.float32))
        moved = nodes.op("Mul", moved, nodes.const(one.multiply, np.float32))
        moved = nodes.op("Add", moved, nodes.const(one.add, np.float32))
        nodes.op("Clip", moved, nodes.const(one.low, np.float32), nodes.const(one.high, np.float32), to=name)
    batch = 1 if front.layout == "hwc" else "N"
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *sides])

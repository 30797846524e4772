"""Nets of V0 (2013) and V1 (2014) -> today's LayerParameter; inputs declared without a layer -> an Input layer.

Works on the tree, so fields that no schema knows stay where they are and are refused by the layer that meets them.
Mirrors upgrade_proto.cpp of BVLC Caffe, in its order: padding layers, V0 layers, transformations, V1 layers, inputs,
BatchNorm. Unlike Caffe, which logs and drops what it cannot place, nothing is dropped here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from caffeport.caffe.schema import Schema
from caffeport.caffe.tree import Field, Item, Message, Token
from caffeport.caffe.upgrade_v0 import fold_padding, upgrade_v0_layer
from caffeport.errors import CaffeportError, Refused, raise_all

_V1_TYPES: Final = {
    "NONE": "", "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DATA": "Data",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN",
    "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence", "SLICE": "Slice",
    "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "TANH": "TanH",
    "THRESHOLD": "Threshold", "WINDOW_DATA": "WindowData",
    # Forks of the time, by the names they later took themselves: SegNet, C3D, and early PReLU and Crop branches.
    "BN": "BN", "UPSAMPLE": "Upsample", "DENSE_IMAGE_DATA": "DenseImageData", "PRELU": "PReLU", "CROP": "Crop",
    "CONVOLUTION3D": "Convolution3D", "POOLING3D": "Pooling3D", "VIDEO_DATA": "VideoData", "LOCAL": "Local",
}  # fmt: skip
_TRANSFORMED: Final = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORM_FIELDS: Final = ("scale", "mean_file", "crop_size", "mirror")
_SPEC_FIELDS: Final = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
_SOLVER_TYPES: Final = {
    "SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}  # fmt: skip


def era(net: Message) -> str:
    """Which generation of Caffe wrote a NetParameter: 'V0', 'V1' or 'V2'."""
    layers = list(net.messages("layers"))
    if any(layer.all("layer") for layer in layers):
        return "V0"
    return "V1" if layers else "V2"


def upgrade_net(net: Message) -> Message:
    """Bring a NetParameter of any era to today's form. Raises Refused, all problems at once."""
    problems: list[CaffeportError] = []
    if era(net) == "V0":
        net = _each_layer(fold_padding(net), upgrade_v0_layer, problems)
    if era(net) != "V2":
        # Caffe takes only `layers` where a net has both kinds (UpgradeV1Net).
        net = _each_layer(net.without("layer"), upgrade_v1_layer, problems)
        net = replace(net, fields=tuple(replace(f, name="layer") if f.name == "layers" else f for f in net.fields))
    raise_all(problems)
    return _batch_norms(_inputs(net))


def _each_layer(net: Message, upgrade: Callable[[Message], Message], problems: list[CaffeportError]) -> Message:
    """The net with a function applied to each of its old layers; what it raises is collected."""

    def upgraded(layer: Message) -> Message:
        try:
            return upgrade(layer)
        except CaffeportError as error:
            problems.append(error)
            return layer

    return net.changed("layers", upgraded)


def upgrade_v1_layer(layer: Message) -> Message:
    """Bring a V1LayerParameter to a LayerParameter: type, parameter settings, picture transformations."""
    kind = _v1_type(layer)
    if kind in _TRANSFORMED:
        layer = _move_transform(layer, _TRANSFORMED[kind])
    specs = _param_specs(layer)
    layer = layer.without(*_SPEC_FIELDS)
    fields: list[Field] = []
    for field in layer.fields:
        if field.name == "type":
            field = replace(field, value=Token(_V1_TYPES.get(kind, kind), quoted=True))
        fields.append(field)
    return replace(layer, fields=(*fields, *specs))


def _v1_type(layer: Message) -> str:
    """The enum name of a V1 layer's type; the number as text where no schema knows it."""
    numbers = {number: name for name, number in Schema.load().enum("V1LayerParameter.LayerType").items()}
    value: Item = ""
    for field in layer.all("type"):
        value = field.value
    text = value.text if isinstance(value, Token) else str(value)
    return numbers.get(int(text), text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _param_specs(layer: Message) -> Iterator[Field]:
    """`param { name share_mode lr_mult decay_mult }` out of V1's four lists, one entry for each parameter."""
    columns = {new: layer.all(old) for old, new in _SPEC_FIELDS.items()}
    for i in range(max(len(column) for column in columns.values())):
        fields = tuple(replace(column[i], name=name) for name, column in columns.items() if i < len(column))
        # A V1 net may share only its second parameter: the first then has an empty name, which shares nothing.
        yield Field("param", Message(fields, fields[0].where), fields[0].where)


def _move_transform(layer: Message, source: str) -> Message:
    """Move scale, mean_file, crop_size and mirror from the data layer's own message into transform_param."""
    moved: list[Field] = []
    fields: list[Field] = []
    for field in layer.fields:
        if field.name == source and isinstance(field.value, Message):
            moved += [inner for inner in field.value.fields if inner.name in _TRANSFORM_FIELDS]
            field = replace(field, value=field.value.without(*_TRANSFORM_FIELDS))
        fields.append(field)
    if not moved:
        return layer
    names = {field.name for field in moved}
    kept = [field for old in layer.messages("transform_param") for field in old.fields if field.name not in names]
    merged = Message((*kept, *moved), moved[0].where)
    others = tuple(field for field in fields if field.name != "transform_param")
    return replace(layer, fields=(*others, Field("transform_param", merged, moved[0].where)))


def _inputs(net: Message) -> Message:
    """`input` with `input_shape` or `input_dim` -> one Input layer at the head of the net (UpgradeNetInput).

    Caffe drops inputs without a shape (a .caffemodel of a deploy net has such); here the layer stays, without one.
    """
    names = net.all("input")
    shapes, dims = net.all("input_shape"), net.all("input_dim")
    if not names:
        return net
    where = names[0].where
    if shapes and dims:
        raise Refused(str(where), "the net has both input_shape and input_dim", "one of them")
    if (shapes and len(shapes) != len(names)) or (dims and len(dims) != 4 * len(names)):
        found = f"{len(shapes)} input_shape" if shapes else f"{len(dims)} input_dim"
        raise Refused(
            str(where), f"the net has {len(names)} inputs and {found}", "one input_shape or four input_dim each"
        )
    if dims:
        fours = [dims[4 * i : 4 * i + 4] for i in range(len(names))]
        shapes = tuple(
            Field("shape", Message(tuple(replace(dim, name="dim") for dim in four), four[0].where), four[0].where)
            for four in fours
        )
    param = Message(tuple(replace(shape, name="shape") for shape in shapes), where)
    layer = Message(
        (
            Field("name", Token("input", quoted=True), where),
            Field("type", Token("Input", quoted=True), where),
            *(replace(name, name="top") for name in names),
            *((Field("input_param", param, where),) if shapes else ()),
        ),
        where,
    )
    rest = net.without("input", "input_shape", "input_dim").fields
    first = next((i for i, field in enumerate(rest) if field.name == "layer"), len(rest))
    return replace(net, fields=(*rest[:first], Field("layer", layer, where), *rest[first:]))


def _batch_norms(net: Message) -> Message:
    """Set lr_mult and decay_mult to zero where a BatchNorm lists three parameters (UpgradeNetBatchNorm)."""

    def zeroed(param: Message) -> Message:
        zeros = (Field(name, 0.0, param.where) for name in ("lr_mult", "decay_mult"))
        return param.without("lr_mult", "decay_mult").plus(*zeros)

    def fixed(layer: Message) -> Message:
        three = _text(layer.all("type")) == "BatchNorm" and len(list(layer.messages("param"))) == 3
        return layer.changed("param", zeroed) if three else layer

    return net.changed("layer", fixed)


def _text(fields: Sequence[Field]) -> str:
    """The last of the values as text; empty if there is none."""
    if not fields:
        return ""
    value = fields[-1].value
    return value.text if isinstance(value, Token) else str(value)


def upgrade_solver(solver: Message) -> Message:
    """`solver_type` (an enum) -> `type` (a name). Raises Refused if a solver has both, as Caffe does."""
    old = solver.all("solver_type")
    if not old:
        return solver
    if solver.all("type"):
        raise Refused(str(old[0].where), "the solver has both solver_type and type", "one of them")
    text = _text(old)
    names = {str(number): name for name, number in Schema.load().enum("SolverParameter.SolverType").items()}
    kind = _SOLVER_TYPES.get(names.get(text, text))
    if kind is None:
        raise Refused(str(old[-1].where), f"solver_type is {text}", ", ".join(_SOLVER_TYPES))
    return solver.without("solver_type").plus(Field("type", Token(kind, quoted=True), old[-1].where))

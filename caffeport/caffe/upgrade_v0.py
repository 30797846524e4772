"""V0LayerParameter (2013, one flat message for all layer types) -> V1LayerParameter; padding layers folded away.

Mirrors UpgradeV0PaddingLayers and UpgradeV0LayerParameter (upgrade_proto.cpp) of BVLC Caffe.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from caffeport.caffe.tree import Field, Message, Token
from caffeport.errors import Refused

_TYPES: Final = {
    "accuracy": "ACCURACY", "bnll": "BNLL", "concat": "CONCAT", "conv": "CONVOLUTION", "data": "DATA",
    "dropout": "DROPOUT", "euclidean_loss": "EUCLIDEAN_LOSS", "flatten": "FLATTEN", "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT", "im2col": "IM2COL", "images": "IMAGE_DATA", "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT", "lrn": "LRN", "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING", "relu": "RELU", "sigmoid": "SIGMOID", "softmax": "SOFTMAX", "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT", "tanh": "TANH", "window_data": "WINDOW_DATA",
}  # fmt: skip
_CONV, _FC = {"conv": "convolution_param"}, {"innerproduct": "inner_product_param"}
_POOL, _LRN = {"pool": "pooling_param"}, {"lrn": "lrn_param"}
_DATA, _IMAGES, _WINDOW = {"data": "data_param"}, {"images": "image_data_param"}, {"window_data": "window_data_param"}
_HDF5 = {"hdf5_data": "hdf5_data_param"}
# V0's field -> its name today, and the message it went into by layer type; None: the same for all types.
_MOVES: Final[dict[str, tuple[str, dict[str, str] | None]]] = {
    "num_output": ("num_output", _CONV | _FC),
    "biasterm": ("bias_term", _CONV | _FC),
    "weight_filler": ("weight_filler", _CONV | _FC),
    "bias_filler": ("bias_filler", _CONV | _FC),
    "pad": ("pad", _CONV | _POOL),
    "kernelsize": ("kernel_size", _CONV | _POOL),
    "group": ("group", _CONV),
    "stride": ("stride", _CONV | _POOL),
    "pool": ("pool", _POOL),
    "dropout_ratio": ("dropout_ratio", {"dropout": "dropout_param"}),
    "local_size": ("local_size", _LRN),
    "alpha": ("alpha", _LRN),
    "beta": ("beta", _LRN),
    "k": ("k", _LRN),
    "source": ("source", _DATA | _HDF5 | _IMAGES | _WINDOW | {"infogain_loss": "infogain_loss_param"}),
    "scale": ("scale", None),
    "meanfile": ("mean_file", None),
    "cropsize": ("crop_size", None),
    "mirror": ("mirror", None),
    "batchsize": ("batch_size", _DATA | _HDF5 | _IMAGES | _WINDOW),
    "rand_skip": ("rand_skip", _DATA | _IMAGES),
    "shuffle_images": ("shuffle", _IMAGES),
    "new_height": ("new_height", _IMAGES),
    "new_width": ("new_width", _IMAGES),
    "concat_dim": ("concat_dim", {"concat": "concat_param"}),
    "det_fg_threshold": ("fg_threshold", _WINDOW),
    "det_bg_threshold": ("bg_threshold", _WINDOW),
    "det_fg_fraction": ("fg_fraction", _WINDOW),
    "det_context_pad": ("context_pad", _WINDOW),
    "det_crop_mode": ("crop_mode", _WINDOW),
}
_PADDED: Final = _CONV | _POOL


def upgrade_v0_layer(connection: Message) -> Message:
    """Bring a V1LayerParameter that nests a V0LayerParameter to a plain V1LayerParameter. Raises Refused.

    A field that V0 had no place for in that layer type stays in the layer, where reading it will refuse it.
    """
    nested = [field for old in connection.messages("layer") for field in old.fields]
    if not nested:
        return connection
    kind = _kind(connection)
    top: list[Field] = []
    params: dict[str, list[Field]] = {}
    for field in nested:
        if field.name == "type":
            if kind not in _TYPES:
                raise Refused(str(field.where), f"layer type {kind!r} is none of V0's", ", ".join(_TYPES))
            top.append(replace(field, value=Token(_TYPES[kind])))
            continue
        name, homes = _MOVES.get(field.name, (field.name, {}))
        param = "transform_param" if homes is None else homes.get(kind)
        if param is None:
            top.append(field)
        else:
            params.setdefault(param, []).append(replace(field, name=name))
    for param, fields in params.items():
        top.append(Field(param, Message(tuple(fields), fields[0].where), fields[0].where))
    return connection.without("layer").plus(*top)


def _kind(connection: Message) -> str:
    """V0's layer type."""
    found = [field.value for old in connection.messages("layer") for field in old.all("type")]
    return _word(found[-1]) if found else ""


def _word(value: object) -> str:
    return value.text if isinstance(value, Token) else str(value)


def fold_padding(net: Message) -> Message:
    """Fold every padding layer into the convolutions and poolings that read it. Raises Refused where it cannot."""
    layers = [field for field in net.fields if field.name == "layers" and isinstance(field.value, Message)]
    if not any(_kind(field.value) == "padding" for field in layers if isinstance(field.value, Message)):
        return net
    made_by: dict[str, Message] = {}
    folded: list[Field] = []
    for field in net.fields:
        layer = field.value
        if field.name != "layers" or not isinstance(layer, Message):
            folded.append(field)
            continue
        sources = [made_by.get(_word(bottom.value)) for bottom in layer.all("bottom")]
        for source in sources:
            if source is not None and _kind(source) == "padding":
                layer = _with_padding(layer, source)
        for top in layer.all("top"):
            made_by[_word(top.value)] = layer
        if _kind(layer) != "padding":
            folded.append(replace(field, value=layer))
    return replace(net, fields=tuple(folded))


def _with_padding(layer: Message, padding: Message) -> Message:
    """The layer with the padding layer's `pad`, reading what the padding layer read."""
    where, kind = str(layer.where), _kind(layer)
    if kind not in _PADDED:
        raise Refused(where, f"a {kind!r} layer reads a padding layer", "conv and pool layers only may")
    if len(layer.all("bottom")) != 1 or len(padding.all("bottom")) != 1 or len(padding.all("top")) != 1:
        raise Refused(where, "a padding layer, or the layer that reads it, has more than one bottom or top", "one each")
    fields = []
    for field in layer.fields:
        if field.name == "bottom":
            field = replace(field, value=padding.all("bottom")[0].value)
        elif field.name == "layer" and isinstance(field.value, Message):
            pad = [f for old in padding.messages("layer") for f in old.all("pad")][-1:]
            field = replace(field, value=field.value.without("pad").plus(*pad))
        fields.append(field)
    return replace(layer, fields=tuple(fields))

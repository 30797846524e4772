"""Bringing V0 and V1 nets, and weights that hold one, to today's form."""

from __future__ import annotations

import os
from pathlib import Path

from caffeport.caffe.net import read_net_message
from caffeport.caffe.upgrade import upgrade_net
from caffeport.caffe.weights import open_weights
from caffeport.caffe.wire import Wire, kind_of
from caffeport.caffe.write import write_binary, write_text

TEXT_SUFFIXES = (".prototxt", ".txt", ".pbtxt")


def upgrade(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write a net of any era as today's Caffe writes it.

    Args:
        source: a net, text or binary, of any era; a .caffemodel keeps its weights.
        target: text for .prototxt, .txt and .pbtxt, binary otherwise.

    Raises:
        CaffeportError: the source cannot be read, or the target not written.
    """
    message = upgrade_net(read_net_message(source))
    if Path(target).suffix in TEXT_SUFFIXES:
        write_text(message, target)
        return
    binary = kind_of(Wire.open(source).data) == "binary"
    write_binary(message, open_weights(source) if binary else {}, target)

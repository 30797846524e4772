"""A net's data layer as a `Source` with its `Preprocessing`: ImageData, Data (LMDB) and HDF5Data.

Mirrors the setup of image_data_layer.cpp, data_layer.cpp and hdf5_data_layer.cpp (src/caffe/layers of BVLC Caffe).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from caffeport.data.databases import LmdbSource
from caffeport.data.hdf5 import Hdf5Source
from caffeport.data.lists import image_list
from caffeport.data.source import Source
from caffeport.errors import Refused, raise_all
from caffeport.transform.build import from_transform_param
from caffeport.transform.preprocessing import Preprocessing, Resize

if TYPE_CHECKING:
    from caffeport.caffe.fields import Fields

TYPES: Final = ("Data", "HDF5Data", "ImageData")


@dataclass(frozen=True, slots=True)
class DataLayer:
    """What a data layer reads: the source, the preprocessing, its batch size, and how it draws (shuffle, rand_skip)."""

    source: Source
    preprocessing: Preprocessing
    batch_size: int
    shuffle: bool = False
    rand_skip: int = 0


def open_layer(
    kind: str,
    fields: Fields,
    tops: Sequence[str],
    *,
    phase: str = "TEST",
    folder: str | os.PathLike[str] = ".",
) -> DataLayer:
    """Open what a data layer names.

    Args:
        kind: the layer's type.
        fields: the layer's parameters (`LayerDef.fields()`).
        tops: its tops; HDF5Data finds its datasets by them.
        phase: 'TEST' or 'TRAIN' (random crops).
        folder: where relative paths begin (Caffe: the folder it was started in).

    Raises Refused for other types and for settings nobody reads, UnreadableFile.
    """
    if kind not in TYPES:
        raise Refused(fields.label, f"type {kind} is no data layer read here", f"{', '.join(TYPES)} are")
    opener = {"Data": _open_data, "HDF5Data": _open_hdf5, "ImageData": _open_images}[kind]
    opened = opener(fields, tops, phase, Path(folder))
    raise_all(fields.unread())
    return opened


def _open_images(fields: Fields, tops: Sequence[str], phase: str, folder: Path) -> DataLayer:
    own = fields.sub("image_data_param")
    height, width = own.int("new_height"), own.int("new_width")
    if (height > 0) != (width > 0):
        raise own.refuse("new_height", f"new_height is {height} and new_width {width}", "Caffe allows both or none")
    prep = from_transform_param(
        fields.sub("transform_param"),
        phase=phase,
        folder=folder,
        colour="color" if own.bool("is_color") else "gray",
        resize=Resize(height, width) if height else None,
    )
    # Caffe joins root_folder and the name as text: "images/" needs its slash.
    root = os.path.join(folder, own.str("root_folder"))
    source = image_list(folder / own.str("source"), root, integers=True, unique=False)
    return DataLayer(source, prep, own.int("batch_size"), own.bool("shuffle"), own.int("rand_skip"))


def _open_data(fields: Fields, tops: Sequence[str], phase: str, folder: Path) -> DataLayer:
    own = fields.sub("data_param")
    own.ignore("prefetch")
    if own.enum("backend") != "LMDB":
        raise own.refuse(
            "backend", f"is {own.enum('backend')}", "LMDB is read", "convert the database with Caffe's tools"
        )
    forced = "color" if own.bool("force_encoded_color") else "native"
    prep = from_transform_param(fields.sub("transform_param"), phase=phase, folder=folder, colour=forced)
    source = LmdbSource(folder / own.str("source"))
    return DataLayer(source, prep, own.int("batch_size"), rand_skip=own.int("rand_skip"))


def _open_hdf5(fields: Fields, tops: Sequence[str], phase: str, folder: Path) -> DataLayer:
    own = fields.sub("hdf5_data_param")
    if not 1 <= len(tops) <= 2:
        raise Refused(
            fields.label, f"has the tops {', '.join(tops) or 'none'}", "one for the data, and maybe one label"
        )
    label = tops[1] if len(tops) == 2 else None
    source = Hdf5Source(folder / own.str("source"), data=tops[0], label=label, folder=folder)
    return DataLayer(source, Preprocessing(colour="native"), own.int("batch_size"), own.bool("shuffle"))

"""Data sets: databases, HDF5, lists and tables of pictures, and the packed cache; each one a `Source`."""

from __future__ import annotations

from caffeport.data.databases import LmdbSource, PairedLmdb
from caffeport.data.datum import Datum, parse_datum
from caffeport.data.hdf5 import Hdf5Source
from caffeport.data.layers import DataLayer, open_layer
from caffeport.data.lists import PictureFiles, csv_table, folder, image_list, lamem, lamem_splits, memcat
from caffeport.data.opening import open_source
from caffeport.data.packed import PackedPictures, is_pack
from caffeport.data.packing import pack
from caffeport.data.source import Item, Label, Source, batches, check_disjoint

__all__ = [
    "DataLayer",
    "Datum",
    "Hdf5Source",
    "Item",
    "Label",
    "LmdbSource",
    "PackedPictures",
    "PairedLmdb",
    "PictureFiles",
    "Source",
    "batches",
    "check_disjoint",
    "csv_table",
    "folder",
    "image_list",
    "is_pack",
    "lamem",
    "lamem_splits",
    "memcat",
    "open_layer",
    "open_source",
    "pack",
    "parse_datum",
]

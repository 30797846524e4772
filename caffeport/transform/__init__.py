"""Caffe's preprocessing in one place: used by prediction, verification, training and the ONNX front."""

from __future__ import annotations

from caffeport.transform.apply import Cut, load, plan_cuts, prepare, sized
from caffeport.transform.build import FLAGS, from_transform_param, with_flags
from caffeport.transform.mean import MeanImage, load_mean
from caffeport.transform.picture import decode, read_bytes
from caffeport.transform.preprocessing import Crop, Preprocessing, Resize
from caffeport.transform.profiles import OutputMap, Profile, load_profile, profile_names

__all__ = [
    "FLAGS",
    "Crop",
    "Cut",
    "MeanImage",
    "OutputMap",
    "Preprocessing",
    "Profile",
    "Resize",
    "decode",
    "from_transform_param",
    "load",
    "load_mean",
    "load_profile",
    "plan_cuts",
    "prepare",
    "profile_names",
    "read_bytes",
    "sized",
    "with_flags",
]

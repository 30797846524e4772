"""All benchmarks, one after the other, with the machine and the versions that they ran on."""

from __future__ import annotations

import os
import platform

import numpy
import onnxruntime
import torch

from caffeport.bench import files, predict
from caffeport.version import __version__

if __name__ == "__main__":
    versions = f"caffeport {__version__}, torch {torch.__version__}, numpy {numpy.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}, ", end="")
    print(f"onnxruntime {onnxruntime.__version__}\n")
    files.main()
    print()
    predict.main()

"""`make demo`: MemNet at full size, from a .caffemodel of 2015's format to proven files, in one run.

The real weights are not ours to ship, so the demo draws weights from a seed: the very ones that real Caffe ran with
when the golden numbers were recorded. Every step is a command that works the same on the real file.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from time import perf_counter

import click
import numpy as np

from caffeport.caffe.net import build_net
from caffeport.caffe.text import read_text
from caffeport.caffe.write import write_binary
from caffeport.cli import cli
from caffeport.cli.tables import console
from caffeport.graph import build
from caffeport.verify.draw import draw_blob

GOLDEN = Path(__file__).parents[1] / "golden"
CASE, PICTURE = GOLDEN / "nets" / "memnet", GOLDEN / "memnet-predict"


def write_memnet(prototxt: Path, seed: int, target: Path) -> None:
    """Write a V1 .caffemodel for a net, its weights drawn from the seed as golden/README.md states."""
    message = read_text(prototxt)
    rng = np.random.RandomState(seed)
    weights = {
        node.name: [draw_blob(rng, node.type, k, param.shape) for k, param in enumerate(node.params)]
        for node in build(build_net(message, str(prototxt))).computing
        if node.params
    }
    write_binary(message, weights, target)


def steps(folder: Path) -> list[list[object]]:
    """The command lines of the demo, in order."""
    net, model = folder / "deploy.prototxt", folder / "memnet.caffemodel"
    files = [folder / f"memnet{suffix}" for suffix in (".pt", ".py", ".safetensors", ".onnx")]
    # The recorded picture went through pycaffe's crops; `memnet` cuts the centre as the authors' MATLAB did.
    pictures = ["--profile", "memnet-pycaffe", "--mean", PICTURE / "mean.binaryproto"]
    return [
        ["inspect", model],
        ["convert", net, model, *(part for file in files for part in ("-o", file)), *pictures],
        ["verify", CASE, "--layers", "--report", folder / "parity.html"],
        ["verify", *files, "--golden", CASE],
        ["predict", folder / "memnet.pt", PICTURE / "image.png"],
    ]


def run(folder: Path) -> int:
    """The demo; its files stay in `folder`. Returns the exit code of the step that failed, or 0."""
    out, start = console(), perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    net, model = folder / "deploy.prototxt", folder / "memnet.caffemodel"
    net.write_text((CASE / "net.prototxt").read_text())
    seed = json.loads((CASE / "meta.json").read_text())["seed"]
    out.print(f"Writing {model}: MemNet's layers, with weights drawn from seed {seed}.", markup=False)
    out.print("They are the ones that real Caffe ran with when the numbers below were recorded, not trained ones.")
    write_memnet(net, seed, model)
    for step in steps(folder):
        code = _step([os.path.relpath(part) if isinstance(part, Path) else str(part) for part in step])
        if code:
            return code
    scores = np.load(PICTURE / "golden.npz")["mean_score"]
    out.print(f"\nReal Caffe's score for that picture: {float(scores):.6g}", markup=False)
    out.print(f"\nDone in {perf_counter() - start:.0f} s. In {folder.resolve()}:", markup=False)
    for file in sorted(folder.iterdir()):
        out.print(f"  {file.name:22} {file.stat().st_size:>13,} bytes", markup=False)
    out.print(f"Open {folder.resolve() / 'parity.html'} in a browser for the whole comparison.", markup=False)
    return 0


def _step(arguments: list[str]) -> int:
    """One command line, shown and run."""
    click.secho(f"\n$ caffeport {shlex.join(arguments)}", bold=True)
    try:
        cli.main(arguments, prog_name="caffeport", standalone_mode=False)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))

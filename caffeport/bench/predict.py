"""`predict` beside the loop that people write: Pillow, numpy and torch, one picture at a time; both on one core.

`python -m caffeport.bench.predict [PICTURES]` prints pictures per second and their ratio, single crop and ten crops.
The model is MemNet at full size with weights drawn from a seed, or a small net with --small.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import torch
from torch import nn

from caffeport.artefacts import write
from caffeport.artefacts.checkpoint import load
from caffeport.artefacts.recipe import Recipe
from caffeport.caffe.net import build_net
from caffeport.caffe.text import read_text
from caffeport.caffe.write import write_binary
from caffeport.data import Source, folder
from caffeport.graph import build
from caffeport.port import open_port
from caffeport.predict import Predictor, open_predictor
from caffeport.transform import MeanImage, load_profile
from caffeport.transform.needs import need
from caffeport.verify.draw import draw_blob

CASE = Path(__file__).parents[2] / "golden" / "nets" / "memnet"
SEED = 20150
SMALL = """name: "small" input: "data" input_shape { dim: 1 dim: 3 dim: 227 dim: 227 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 11 stride: 8 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "score" type: "InnerProduct" bottom: "conv" top: "score" inner_product_param { num_output: 1 } }
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """Pictures per second of both ways."""

    what: str
    plain: float
    ours: float

    @property
    def ratio(self) -> float:
        """How many times faster `predict` is."""
        return self.ours / self.plain

    def __str__(self) -> str:
        return f"{self.what}: plain loop {self.plain:.1f}/s, predict {self.ours:.1f}/s, ratio {self.ratio:.2f}"


def make_model(into: Path, small: bool = False) -> Path:
    """A .pt with the memnet profile and a mean image."""
    net, weights = CASE / "net.prototxt", into / "net.caffemodel"
    if small:
        net = into / "net.prototxt"
        net.write_text(SMALL)
    write_drawn(net, weights)
    mean = np.random.default_rng(SEED).uniform(90, 130, (3, 256, 256)).astype(np.float32)
    profile = load_profile("memnet")
    recipe = Recipe(profile.preprocessing(MeanImage(mean)), tuple(profile.outputs.values()), profile.name)
    write(replace(open_port(net, weights), recipe=recipe), into / "model.pt")
    return into / "model.pt"


def write_drawn(net: Path, target: Path) -> None:
    """A .caffemodel with weights drawn from the seed, as golden/README.md states."""
    message, rng = read_text(net), np.random.RandomState(SEED)
    drawn = {
        node.name: [draw_blob(rng, node.type, k, param.shape) for k, param in enumerate(node.params)]
        for node in build(build_net(message, str(net))).computing
        if node.params
    }
    write_binary(message, drawn, target)


def make_pictures(into: Path, count: int) -> Source:
    """JPEGs of 800 x 600 with some detail, as a camera's."""
    cv2 = need("cv2", "bench")
    into.mkdir()
    rng = np.random.default_rng(SEED)
    for number in range(count):
        coarse = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (800, 600), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(into / f"{number:05}.jpg"), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder(into)


def plain_loop(model: nn.Module, predictor: Predictor, paths: list[str]) -> list[float]:
    """What a user's script does: open, resize, to BGR, less the mean, crop, run, average."""
    image = need("PIL.Image", "bench")
    mean = predictor.prep.mean.array if predictor.prep.mean is not None else np.zeros((3, 256, 256), np.float32)
    scores = []
    for path in paths:
        picture = np.asarray(image.open(path).convert("RGB").resize((256, 256), image.BILINEAR))
        planes = picture[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) - mean
        corners = [(0, 0), (0, 29), (29, 0), (29, 29), (15, 15)] if predictor.crops == 10 else [(15, 15)]
        crops = [planes[:, top : top + 227, left : left + 227] for top, left in corners]
        crops += [crop[:, :, ::-1] for crop in crops] if predictor.crops == 10 else []
        with torch.no_grad():
            scores.append(model(torch.from_numpy(np.stack(crops))).mean().item())
    return scores


def measure(works: Sequence[Callable[[], object]], count: int, times: int = 3) -> list[float]:
    """Pictures per second of processor time, the best of some runs, the ways in turn: so that none meets a busier
    machine than the others."""
    best = [0.0] * len(works)
    for _ in range(times):
        for place, work in enumerate(works):
            start = process_time()
            work()
            best[place] = max(best[place], count / (process_time() - start))
    return best


def compare(model: Path, pictures: Source, crops: int) -> Timing:
    """Both ways over the same pictures with the same module."""
    predictor, module = open_predictor(model), load(model)
    if crops == 1 and predictor.prep.crop is not None:
        prep = replace(predictor.prep, crop=replace(predictor.prep.crop, mode="centre"))
        predictor = Predictor(predictor.model, replace(predictor.recipe, preprocessing=prep), str(model))
    paths = [entry.path for entry in getattr(pictures, "entries", ())]
    plain_loop(module, predictor, paths[:2])  # torch prepares its kernels
    ways = (lambda: plain_loop(module, predictor, paths), lambda: list(predictor.predict(pictures)))
    plain, ours = measure(ways, len(paths))
    return Timing(f"{'single crop' if crops == 1 else 'ten crops'}", plain, ours)


def one_core() -> None:
    """Keep this process on one core and torch and OpenCV on one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    need("cv2", "bench").setNumThreads(1)


def decoding(pictures: Source) -> list[tuple[str, float]]:
    """Pictures per second of each decoder, resized to 256 x 256."""
    from caffeport.transform import Preprocessing, Resize
    from caffeport.transform.apply import sized

    prep, image = Preprocessing(resize=Resize(256, 256)), need("PIL.Image", "bench")
    paths = [entry.path for entry in getattr(pictures, "entries", ())]

    def ours(decoder: str) -> None:
        for item in pictures:
            sized(prep, item.picture(prep, decoder))

    def pillow() -> None:
        for path in paths:
            np.asarray(image.open(path).convert("RGB").resize((256, 256), image.BILINEAR))

    decoders = ("auto", "opencv", "scaled")
    speeds = measure([*(partial(ours, decoder) for decoder in decoders), pillow], len(pictures))
    return list(zip((*decoders, "Pillow"), speeds, strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Run and print."""
    given = sys.argv[1:] if arguments is None else arguments
    small = "--small" in given
    count = next((int(word) for word in given if word.isdigit()), 60)
    one_core()
    with tempfile.TemporaryDirectory() as temporary:
        into = Path(temporary)
        pictures = make_pictures(into / "pictures", count)
        print(f"{platform.machine()}, one core, torch {torch.__version__}, {count} JPEGs of 800 x 600")
        for decoder, speed in decoding(pictures):
            print(f"decode and resize ({decoder}): {speed:.0f}/s")
        model = make_model(into, small)
        for crops in (1, 10):
            print(compare(model, pictures, crops))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`pack`: decode and resize a data set once, in parallel, into the format of `data.packed`.

The work is done in a folder beside the target (``OUT.partial``), chunk by chunk; each finished chunk is one line of a
log. A run that was stopped goes on where it was, and the folder takes its final name only when all is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from caffeport.data.packed import FORMAT, INDEX, PICTURES, Index, PackedPictures, is_pack
from caffeport.data.processes import processes
from caffeport.data.source import SHOWN, Label, Source, check_unique
from caffeport.errors import CaffeportError, Problems, Refused, UnreadableFile
from caffeport.transform.apply import sized
from caffeport.transform.needs import MissingPackage
from caffeport.transform.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK: Final = 64
PLAN: Final = "plan.json"
LOG: Final = "done.jsonl"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one chunk: its checksum, its labels, and its broken pictures (place, where, what)."""

    chunk: int
    sha256: str
    labels: list[Label]
    broken: list[tuple[int, str, str]]


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker knows."""

    source: Source
    prep: Preprocessing
    shape: tuple[int, int, int, int]
    path: str

    def places(self, chunk: int) -> range:
        """The items of a chunk."""
        return range(chunk * CHUNK, min((chunk + 1) * CHUNK, self.shape[0]))

    def run(self, chunk: int) -> Done:
        """Decode a chunk and write it to its place in the file; a broken picture's row stays black."""
        import numpy as np

        places = self.places(chunk)
        block = np.zeros((len(places), *self.shape[1:]), np.uint8)
        labels: list[Label] = []
        broken: list[tuple[int, str, str]] = []
        for row, place in enumerate(places):
            label: Label = None
            try:
                item = self.source[place]
                label = item.label
                block[row] = packable(self.prep, item.picture(self.prep), item.where, self.shape[1:])
            except MissingPackage:
                raise
            except CaffeportError as error:
                whole = isinstance(error, Problems)  # which has no place of its own
                broken.append((place, "" if whole else error.where, str(error) if whole else error.what))
            labels.append(label)
        raw = block.tobytes()
        # Written, not mapped: a full disk is then an error here, and not a signal that kills the process.
        with open(self.path, "r+b") as stream:
            stream.seek(places.start * (len(raw) // len(places)))
            stream.write(raw)
        return Done(chunk, hashlib.sha256(raw).hexdigest(), labels, broken)


def pack(
    source: Source,
    out: str | os.PathLike[str],
    prep: Preprocessing,
    workers: int = 0,
    *,
    leave_out_broken: bool = False,
    progress: Progress | None = None,
) -> PackedPictures:
    """Pack a data set into the folder `out`, and open it.

    Args:
        source: what to pack; names must be unique.
        out: a folder that does not exist; `out` with '.partial' appended holds what a stopped run has done.
        prep: decides decoding and resize ('opencv' or 'pillow'); the rest is applied when the pack is read.
        workers: processes; 0 decodes in this one.
        leave_out_broken: go on without pictures that cannot be decoded, and list them in the index.
        progress: called with (pictures done, pictures in all).

    Raises Refused where `out` exists, the partial folder is of other data, or pictures differ in size; Problems with
    the first few broken pictures.
    """
    target, partial = Path(out), Path(f"{os.fspath(out).rstrip('/')}.partial")
    if target.exists():
        what = "is a pack already" if is_pack(target) else "exists already"
        raise Refused(os.fspath(out), what, todo="remove it, or choose another name")
    check_unique(source.keys, source.name)
    shape = _shape(source, prep)
    _begin(partial, source, prep, shape)
    # Workers need no mean image, which is the largest part of a preprocessing.
    job = Job(source, replace(prep, mean=None, mean_values=()), shape, os.fspath(partial / PICTURES))
    done = _read_log(partial, job)
    _run_all(job, done, partial, workers, progress)
    index = _index(job, done, leave_out_broken)
    with open(job.path, "rb") as pictures:
        os.fsync(pictures.fileno())
    _write(partial / INDEX, json.dumps(index.to_dict(), ensure_ascii=False))
    for name in (PLAN, LOG):
        (partial / name).unlink()
    partial.rename(target)
    return PackedPictures(target)


def packable(
    prep: Preprocessing, picture: NDArray[np.generic], where: str, shape: tuple[int, ...] | None = None
) -> NDArray[np.uint8]:
    """The picture resized, as (H, W, C) bytes. Raises Refused for floats, or for another shape than `shape`."""
    import numpy as np

    image = sized(prep, picture)
    if image.dtype != np.uint8:
        raise Refused(where, f"is a picture of {image.dtype}", "a pack holds bytes (uint8)", "read it without packing")
    if shape is not None and image.shape != shape:
        raise Refused(where, f"is of {image.shape}, the first one of {shape}", "one size for all", "resize")
    return image.astype(np.uint8, copy=False)


def _shape(source: Source, prep: Preprocessing) -> tuple[int, int, int, int]:
    """The pack's shape: by the preprocessing, or by the first picture where that leaves the size or channels open."""
    if prep.resize is not None and prep.resize.method == "pycaffe":
        raise Refused("pack", "resize method 'pycaffe' gives floats", "a pack holds bytes: 'opencv' or 'pillow'")
    if len(source) == 0:
        raise Refused(source.name, "holds no pictures")
    if prep.resize is not None and prep.colour != "native":
        return len(source), prep.resize.height, prep.resize.width, 3 if prep.colour == "color" else 1
    item = source[0]
    if item.ready:
        raise Refused(source.name, "holds arrays and no pictures", "HDF5 sources are read as they are")
    height, width, channels = packable(prep, item.picture(prep), item.where).shape
    return len(source), height, width, channels


def _begin(partial: Path, source: Source, prep: Preprocessing, shape: tuple[int, int, int, int]) -> None:
    """Make the partial folder, or check that the one found is of the same data. Raises Refused."""
    names = hashlib.sha256("\0".join(source.keys).encode("utf-8", "backslashreplace")).hexdigest()
    plan = {"format": FORMAT, "shape": list(shape), "names": names, "decoding": prep.decoding(), "source": source.name}
    text = json.dumps(plan, sort_keys=True)
    if partial.exists():
        found = (partial / PLAN).read_text("utf-8") if (partial / PLAN).is_file() else ""
        if found != text:
            raise Refused(os.fspath(partial), "is left of a run with other data or settings", todo="remove that folder")
        return
    size = shape[0] * shape[1] * shape[2] * shape[3]
    partial.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(partial.parent).free
    if size > free:
        raise Refused(os.fspath(partial), f"{size:,} bytes are needed and {free:,} are free")
    partial.mkdir()
    with open(partial / PICTURES, "wb") as stream:
        stream.truncate(size)
    _write(partial / PLAN, text)


def _read_log(partial: Path, job: Job) -> dict[int, Done]:
    """The chunks that an earlier run finished: a line cut short, other bytes, or broken pictures are done again."""
    done: dict[int, Done] = {}
    if not (partial / LOG).is_file():
        return done
    row = job.shape[1] * job.shape[2] * job.shape[3]
    with open(job.path, "rb") as pictures:
        for line in (partial / LOG).read_text("utf-8").splitlines():
            try:
                plain = json.loads(line)
                found = Done(plain["chunk"], plain["sha256"], plain["labels"], [tuple(one) for one in plain["broken"]])
                places = job.places(found.chunk)
                pictures.seek(places.start * row)
                raw = pictures.read(len(places) * row)
            except (ValueError, KeyError, TypeError):
                continue
            if (
                not found.broken
                and len(found.labels) == len(places)
                and hashlib.sha256(raw).hexdigest() == found.sha256
            ):
                done[found.chunk] = found
    return done


def _run_all(job: Job, done: dict[int, Done], partial: Path, workers: int, progress: Progress | None) -> None:
    """Run the chunks that are left, and log each one as it is finished."""
    chunks = range(-(-job.shape[0] // CHUNK))
    left = [chunk for chunk in chunks if chunk not in done]
    count = sum(len(job.places(chunk)) for chunk in done)
    with open(partial / LOG, "a", encoding="utf-8") as log:
        log.write("\n")  # ends a line that a killed run may have cut short
        for result in _in_processes(job, left, workers) if workers > 0 and left else map(job.run, left):
            done[result.chunk] = result
            log.write(json.dumps(asdict(result)) + "\n")
            log.flush()
            count += len(result.labels)
            if progress is not None:
                progress(count, job.shape[0])


def _in_processes(job: Job, chunks: list[int], workers: int) -> Iterator[Done]:
    """Chunks as they are finished. Raises CaffeportError where a worker was killed."""
    with processes(workers, job.run, job.source.name) as submit:
        for future in as_completed([submit(chunk) for chunk in chunks]):
            yield future.result()


def _index(job: Job, done: dict[int, Done], leave_out_broken: bool) -> Index:
    """The index of all chunks. Raises Problems where pictures are broken and may not be left out."""
    results = [done[chunk] for chunk in sorted(done)]
    broken = {place: (where, what) for result in results for place, where, what in result.broken}
    if broken and (not leave_out_broken or len(broken) == job.shape[0]):
        told: list[CaffeportError] = [UnreadableFile(where, what) for where, what in list(broken.values())[:SHOWN]]
        summary = Refused(
            job.source.name,
            f"{len(broken)} of {job.shape[0]} pictures cannot be packed",
            todo="mend them, or give --leave-out-broken",
        )
        raise Problems([summary, *told])
    labels = [label for result in results for label in result.labels]
    kept = [place for place in range(job.shape[0]) if place not in broken]
    return Index(
        shape=job.shape,
        keys=[job.source.keys[place] for place in kept],
        rows=kept,
        labels=[labels[place] for place in kept],
        decoding=job.prep.decoding(),
        left_out=[{"key": job.source.keys[p], "where": at, "what": what} for p, (at, what) in broken.items()],
        chunk=CHUNK,
        sha256=[result.sha256 for result in results],
    )


def _write(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    temporary: Any = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)

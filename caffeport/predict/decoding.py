"""Decoding ahead of the model: in this process, in threads, or in worker processes, always in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from caffeport.data.processes import processes
from caffeport.data.source import Label, Source
from caffeport.errors import CaffeportError
from caffeport.transform.apply import sized
from caffeport.transform.needs import MissingPackage
from caffeport.transform.preprocessing import Preprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK: Final = 8
"""Pictures per task: enough to hide what handing a task over costs."""

INPUTS, SIZED, DECODED = "inputs", "sized", "decoded"
"""What a picture was made: the net's own inputs (float), resized bytes, or bytes of the picture's own size."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One picture of a source, or what is wrong with it."""

    index: int
    key: str
    label: Label
    kind: str
    array: NDArray[Any] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What every worker knows. `whole` keeps the picture's own size, for a model that resizes by itself."""

    source: Source
    prep: Preprocessing
    whole: bool = False
    decoder: str = "auto"

    def run(self, places: Sequence[int]) -> list[Decoded]:
        """Decode some items; a broken one gives its error."""
        return [self.one(place) for place in places]

    def one(self, place: int) -> Decoded:
        """Decode one item."""
        label: Label = None
        try:
            item = self.source[place]
            label = item.label
            kind, array = self._array(item)
        except MissingPackage:
            raise
        except CaffeportError as error:
            return Decoded(place, self.source.keys[place], label, "", None, str(error))
        return Decoded(place, item.key, label, kind, array)

    def _array(self, item: Any) -> tuple[str, NDArray[Any]]:
        import numpy as np

        if item.ready:
            return INPUTS, item.inputs(self.prep)
        if self.prep.resize is not None and self.prep.resize.method == "pycaffe":
            return INPUTS, item.inputs(self.prep, decoder=self.decoder)
        picture = item.picture(self.prep, self.decoder)
        if self.whole:
            return DECODED, picture
        if picture.dtype != np.uint8:
            return INPUTS, item.inputs(self.prep, decoder=self.decoder)
        return SIZED, sized(self.prep, picture)


def decode(work: Work, places: Sequence[int], workers: int = 0) -> Iterator[Decoded]:
    """Decode the items at `places`, in their order.

    `workers` 0 takes a thread of this process beside the caller, where there is a second core. Raises CaffeportError
    where a worker process dies, MissingPackage where no picture could be decoded.
    """
    tasks = [places[start : start + TASK] for start in range(0, len(places), TASK)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers == 0 and (cores == 1 or len(tasks) < 2):
        for place in places:
            yield work.one(place)
    elif workers == 0:
        with ThreadPoolExecutor(min(cores - 1, 4)) as threads:
            yield from _ahead(lambda task: threads.submit(work.run, task), tasks, 2 * cores)
    else:
        with processes(workers, work.run, work.source.name) as submit:
            yield from _ahead(submit, tasks, 3 * workers)


def _ahead(
    submit: Callable[[Sequence[int]], Future[list[Decoded]]], tasks: Iterable[Sequence[int]], window: int
) -> Iterator[Decoded]:
    """Results in order, with at most `window` tasks under way: memory stays bounded."""
    waiting: deque[Future[list[Decoded]]] = deque()
    try:
        for task in tasks:
            waiting.append(submit(task))
            if len(waiting) >= window:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()

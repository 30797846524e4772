"""Worker processes for decoding: spawned, quiet when the user stops the run, and a sentence where one dies."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Final

from caffeport.errors import CaffeportError

_WORK: Final[list[Callable[[Any], Any]]] = []


@contextmanager
def processes(count: int, work: Callable[[Any], Any], name: str) -> Iterator[Callable[[Any], Any]]:
    """A function that hands `work(task)` to one of `count` processes and returns its future.

    `work` is sent to each process once. Raises CaffeportError, which begins with `name`, where a process was killed.
    """
    # Spawned, not forked: the caller may hold threads (torch, OpenCV) and open databases.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(count, context, initializer=_start, initargs=(work,)) as pool:

            def submit(task: Any) -> Any:
                with _interrupts_ignored():  # a process may be started here, and inherits this
                    return pool.submit(_run, task)

            try:
                yield submit
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    except BrokenProcessPool:
        raise CaffeportError(
            name, "a process that decodes died", "memory may have run out", "run it again, with fewer --workers"
        ) from None


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; the workers leave it to their parent, which ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(work: Callable[[Any], Any]) -> None:
    """Once a process: take the work, and keep OpenCV from starting threads beside the other processes."""
    _WORK[:] = [work]
    try:
        import cv2
    except ImportError:
        return  # whoever needs it says so
    cv2.setNumThreads(1)


def _run(task: Any) -> Any:
    return _WORK[0](task)

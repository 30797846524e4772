"""What every data set is here: a `Source`, a row of named items that are read one by one, in any order, in any process.

Sources are small and picklable: databases are opened where they are read, so that worker processes can each have one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from caffeport.errors import Refused
from caffeport.transform.apply import load, prepare
from caffeport.transform.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN: Final = 10
"""How many of a list's problems are named one by one."""

Label = float | tuple[float, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One picture and what is known about it.

    Args:
        key: its name, unique within the source.
        data: a picture file's bytes, an array (H, W, C) of uint8 or 0..255 floats with BGR channels; or, where `ready`
            is set, an array that the net reads as it is (HDF5Data has no preprocessing).
        label: a class or a score, several of them, or None.
        where: how errors about it begin.
    """

    key: str
    data: bytes | NDArray[np.generic]
    label: Label
    where: str
    ready: bool = False

    def picture(self, prep: Preprocessing, decoder: str = "auto") -> NDArray[np.generic]:
        """(H, W, C), BGR, decoded as `prep` says. Raises UnreadableFile, Refused."""
        return load(prep, self.data, self.where, decoder)

    def inputs(
        self, prep: Preprocessing, rng: np.random.Generator | None = None, decoder: str = "auto"
    ) -> NDArray[np.float32]:
        """What the net reads: (crops, C, H, W) float32; a `ready` array as (1, ...). Raises UnreadableFile, Refused."""
        import numpy as np

        if self.ready:
            return np.asarray(self.data, np.float32)[None]
        try:
            return prepare(prep, self.picture(prep, decoder), rng)
        except Refused as error:
            if error.where == self.where:
                raise
            raise Refused(self.where, error.what, error.allowed, error.todo) from None


class Source(ABC):
    """A data set: `len`, `source[i]`, iteration, and `keys`."""

    name: str
    keys: Sequence[str]
    """The items' names, in order."""

    @abstractmethod
    def read(self, index: int) -> Item:
        """One item, by its place from 0. Raises UnreadableFile, Refused."""

    def labels(self) -> list[Label]:
        """Every item's label, in order."""
        return [item.label for item in self]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.read(index % len(self))

    def __iter__(self) -> Iterator[Item]:
        return (self.read(index) for index in range(len(self)))


def batches(
    source: Source,
    prep: Preprocessing,
    size: int,
    count: int | None = None,
    rng: np.random.Generator | None = None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Batches of `size` items as Caffe's data layers make them: in order, and from the start again after the last.

    Gives (size x crops, C, H, W) and the labels (size, ...) or None; `count` batches, or one epoch with a shorter last
    one. Raises Refused where pictures differ in size.
    """
    import numpy as np

    if size < 1 or len(source) == 0:
        raise Refused(source.name, "holds no items" if size > 0 else f"batches of {size} items")
    places = range(len(source) if count is None else count * size)
    for start in range(0, len(places), size):
        items = [source[place % len(source)] for place in places[start : start + size]]
        inputs = [item.inputs(prep, rng) for item in items]
        for item, array in zip(items, inputs, strict=True):
            if array.shape != inputs[0].shape:
                here, first = array.shape[1:], inputs[0].shape[1:]
                raise Refused(
                    item.where, f"gives an input of {here} in a batch of {first}", todo="resize, or batches of 1"
                )
        labelled = all(item.label is not None for item in items)
        labels = np.array([item.label for item in items], np.float32) if labelled else None
        yield np.concatenate(inputs), labels


def check_disjoint(splits: dict[str, Source]) -> None:
    """Raise Refused where two splits hold an item of the same name: the one would leak into the other."""
    seen: dict[str, tuple[str, int]] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for split, source in splits.items():
        for index, key in enumerate(source.keys):
            other = seen.setdefault(key, (split, index))[0]
            if other != split:
                shared.setdefault((other, split), []).append(key)
    if shared:
        parts = [f"'{a}' and '{b}' share {len(keys)} pictures ({some(keys)})" for (a, b), keys in shared.items()]
        raise Refused("splits", "; ".join(parts), "a picture belongs to one split", "make the splits anew")


def check_unique(keys: Sequence[str], where: str) -> None:
    """Raise Refused where a name comes twice."""
    if len(set(keys)) == len(keys):
        return
    seen: set[str] = set()
    twice = [key for key in keys if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    raise Refused(where, f"{len(twice)} names come twice ({some(twice)})", "each picture once", "remove the doubles")


def printable(name: str) -> str:
    """A file's name as text that any file and terminal can hold: bytes that are no UTF-8 are written as \\udcff."""
    return name.encode("utf-8", "backslashreplace").decode()


def some(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown + (", ..." if len(names) > SHOWN else "")

"""Names that nothing has yet: for versions of blobs, for losses without a top, and for what emitters add."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from caffeport.caffe.net import NetDef
from caffeport.layers import layer_class


class Unused:
    """Gives names that are not taken: the stem itself, or with a mark behind it.

    The marks already used are remembered by stem, so that a file of many equal names costs no more than one of others.

    Args:
        taken: names in use.
        mark: what goes behind a stem that is taken, for 2, 3 and so on.
    """

    def __init__(self, taken: Iterable[str] = (), mark: Callable[[int], str] = "_{}".format) -> None:
        self.taken, self.mark = set(taken), mark
        self._last: dict[str, int] = {}

    def take(self, stem: str) -> str:
        """A name that is now taken."""
        name, number = stem, self._last.get(stem, 1)
        while name in self.taken:
            number += 1
            name = stem + self.mark(number)
        self._last[stem] = number
        self.taken.add(name)
        return name


def _primes(number: int) -> str:
    return "'" * (number - 1)


def with_automatic_tops(net: NetDef) -> NetDef:
    """Losses that name no top get one, as in Caffe (AutoTopBlobs); here it is named after the layer."""
    unused = Unused((blob for layer in net.layers for blob in (*layer.bottoms, *layer.tops)), _primes)
    definitions = []
    for definition in net.layers:
        cls = layer_class(definition.type)
        if cls is not None and cls.loss and not definition.tops:
            definition = replace(definition, tops=(unused.take(definition.name or "loss"),))
        definitions.append(definition)
    return replace(net, layers=tuple(definitions))


def version_names(net: NetDef) -> dict[tuple[int, int], str]:
    """Names for every version of every blob: the last keeps the blob's name, which is what Caffe shows after a run."""
    makers: dict[str, list[tuple[int, int]]] = {}
    for index, definition in enumerate(net.layers):
        for k, blob in enumerate(definition.tops):
            makers.setdefault(blob, []).append((index, k))
    names = {places[-1]: blob for blob, places in makers.items()}
    unused = Unused(makers, _primes)
    for blob, places in makers.items():
        for place in places[:-1]:
            names[place] = unused.take(f"{blob}@{net.layers[place[0]].name}")
    return names

"""What the losses over classes share: which axis the classes lie along, which labels count, what the sum is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.losses import (
    chosen_node,
    index_node,
    kept_node,
    normalised,
    one_label_each,
    read_normalization,
    same_batch,
    total_node,
)
from caffeport.layers.shapes import count

if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True, slots=True)
class Labelled:
    """Scores and labels of a loss; `prob` says whether the softmax is a second top."""

    axis: int
    ignore: int | None
    normalization: str
    prob: bool

    @classmethod
    def read(cls, f: Fields, at: Site, axis: int, older: bool = True) -> Labelled:
        """Read loss_param; see `losses.read_normalization` for `older`."""
        return cls(axis, *read_normalization(f, older=older), at.tops == 2)

    def classes(self, bottoms: Shapes) -> int:
        """How many there are; refuses labels that do not go with the scores."""
        same_batch(bottoms)
        return bottoms[0][one_label_each(bottoms, self.axis)]

    def tops(self, bottoms: Shapes) -> Inferred:
        """The loss, and the softmax where it is wanted."""
        return Inferred(((), bottoms[0])[: 1 + self.prob])

    def call(self, name: str, bottoms: Shapes, **others: tuple[Any, Any]) -> Call:
        """The module's call; `others` as in `options`."""
        kwargs = options(
            axis=(one_label_each(bottoms, self.axis), 1),
            ignore=(self.ignore, None),
            normalization=(self.normalization, "VALID"),
            prob=(self.prob, False),
            **others,
        )
        return Call(name, (), kwargs)

    def nodes(self, g: Onnx) -> Labels:
        """The labels as nodes, and the softmax."""
        axis = one_label_each(g.shapes, self.axis)
        index = index_node(g, axis)
        kept = kept_node(g, index, self.ignore)
        prob = g.op("Softmax", g.bottoms[:1], g.tops[1:] or None, axis=axis)
        return Labels(axis, index, kept, chosen_node(g, index, kept), prob)

    def finish(self, g: Onnx, labels: Labels, each: str) -> None:
        """The loss out of what each place adds to it."""
        inner = count(g.shapes[0], labels.axis + 1)
        normalised(g, total_node(g, each, labels.kept), self.normalization, labels.index, inner, labels.kept)


@dataclass(frozen=True, slots=True)
class Labels:
    """Nodes: labels with one place on the class axis, where they count (None: all), as classes, and the softmax."""

    axis: int
    index: str
    kept: str | None
    chosen: str
    prob: str

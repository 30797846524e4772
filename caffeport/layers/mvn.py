"""MVN: mean and variance normalisation of each picture."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.faces import options
from caffeport.layers.nodes import moments
from caffeport.layers.shapes import show


@dataclass(frozen=True, slots=True)
class MVN(Layer):
    """(x - mean) / (standard deviation + eps) of each channel of each item, or of each item across its channels."""

    type = "MVN"
    mirrors = "mvn_layer.cpp"

    variance: bool
    across: bool
    eps: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> MVN:
        p = f.sub("mvn_param")
        return cls(p.bool("normalize_variance"), p.bool("across_channels"), p.float("eps"))

    def infer(self, bottoms: Shapes) -> Inferred:
        if len(bottoms[0]) > 4:
            raise Misfit(f"the bottom is {show(bottoms[0])}", "Caffe wants four axes at most here")
        return Inferred(bottoms)

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = options(variance=(self.variance, True), across=(self.across, False), eps=(self.eps, 1e-9))
        return Call("MVN", (), kwargs)

    def onnx(self, g: Onnx) -> None:
        axes = tuple(range(1 if self.across else 2, len(g.shapes[0])))
        if not axes:
            # Each value is its own mean.
            g.op("Sub", [g.bottoms[0], g.bottoms[0]], g.tops)
            return
        if not self.variance:
            g.op("Sub", [g.bottoms[0], g.op("ReduceMean", g.bottoms, axes=axes)], g.tops)
            return
        centred, variance = moments(g, g.bottoms[0], axes)
        g.op("Div", [centred, g.op("Add", [g.op("Sqrt", [variance]), g.floats(self.eps)])], g.tops)

"""BatchNorm: normalisation by mean and variance, without an affine part."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site


@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + eps) per channel; three blobs: sums of mean and variance, and their factor."""

    type = "BatchNorm"
    mirrors = "batch_norm_layer.cpp"

    eps: float
    fraction: float
    stored: bool | None

    @classmethod
    def read(cls, f: Fields, at: Site) -> BatchNorm:
        p = f.sub("batch_norm_param")
        stored = p.bool("use_global_stats") if p.has("use_global_stats") else None
        return cls(p.float("eps"), p.float("moving_average_fraction"), stored)

    def infer(self, bottoms: Shapes) -> Inferred:
        channels = (bottoms[0][1] if len(bottoms[0]) > 1 else 1,)
        return Inferred(bottoms, (channels, channels, (1,)))

    def torch(self, bottoms: Shapes) -> Call:
        options = {"eps": (self.eps, 1e-5), "fraction": (self.fraction, 0.999), "stored": (self.stored, None)}
        kwargs = {name: value for name, (value, default) in options.items() if value != default}
        return Call("BatchNorm", self.infer(bottoms).params[0], kwargs, ("mean", "variance", "factor"))

    def onnx(self, g: Onnx) -> None:
        if self.stored is False:
            raise g.refuse("ONNX has no normalisation by the statistics of the batch itself")
        # A factor of 0 stands for "nothing seen yet": mean and variance are then 0, as Caffe has it.
        zero, one = g.floats(0.0), g.floats(1.0)
        empty = g.op("Equal", [g.params[2], zero])
        divisor = g.op("Where", [empty, one, g.params[2]])
        weight = g.op("Where", [empty, zero, g.op("Div", [one, divisor])])
        mean, variance = (g.op("Mul", [blob, weight]) for blob in g.params[:2])
        ones = g.floats([1.0] * g.param_shapes[0][0])
        zeros = g.floats([0.0] * g.param_shapes[0][0])
        g.op("BatchNormalization", [g.bottoms[0], ones, zeros, mean, variance], g.tops, epsilon=self.eps)

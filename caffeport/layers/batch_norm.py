"""BatchNorm: normalisation by mean and variance, without an affine part in BVLC, with one in NVCaffe."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import options

_STATE = ("mean", "variance", "factor", "weight", "bias")


@dataclass(frozen=True, slots=True)
class BatchNorm(Layer):
    """(x - mean) / sqrt(variance + eps) per channel; three blobs: sums of mean and variance, and their factor.

    NVCaffe (NVIDIA/caffe, batch_norm_layer.cpp) is told by scale_bias, scale_filler or bias_filler: it adds a scale
    and a bias, and its mean and variance stand as they are whatever the factor is (it writes 0 or 1). With three
    blobs the factor is BVLC's: a mean and a variance over a factor of 0 count as 0.
    """

    type = "BatchNorm"
    mirrors = "batch_norm_layer.cpp"

    eps: float
    fraction: float
    stored: bool | None
    affine: bool

    @classmethod
    def read(cls, f: Fields, at: Site) -> BatchNorm:
        p = f.sub("batch_norm_param")
        stored = p.bool("use_global_stats") if p.has("use_global_stats") else None
        affine = p.bool("scale_bias", False) or p.has("scale_filler") or p.has("bias_filler")
        # Intel's `filler` starts a scale that its nets keep in a Scale layer behind; fillers matter for training anew.
        p.ignore("scale_filler", "bias_filler", "filler")
        eps, fraction = p.float("eps"), p.float("moving_average_fraction")
        if affine:
            # NVCaffe goes by the phase alone, and by an eps that cuDNN takes.
            return cls(max(eps, 1e-5), fraction, None, True)
        return cls(eps, fraction, stored, False)

    def infer(self, bottoms: Shapes) -> Inferred:
        channels = (bottoms[0][1] if len(bottoms[0]) > 1 else 1,)
        return Inferred(bottoms, (channels, channels, (1,), channels, channels)[: 5 if self.affine else 3])

    def torch(self, bottoms: Shapes) -> Call:
        kwargs = options(eps=(self.eps, 1e-5), fraction=(self.fraction, 0.999), stored=(self.stored, None))
        params = self.infer(bottoms).params
        return Call("AffineBatchNorm" if self.affine else "BatchNorm", params[0], kwargs, _STATE[: len(params)])

    def onnx(self, g: Onnx) -> None:
        if self.stored is False:
            raise g.refuse("ONNX has no normalisation by the statistics of the batch itself")
        x = g.bottoms[0] if len(g.shapes[0]) > 1 else g.op("Reshape", [g.bottoms[0], g.ints((-1, 1))])
        outputs = g.tops if len(g.shapes[0]) > 1 else None
        if self.affine:
            mean, variance, _, weight, bias = g.params
        else:
            mean, variance = _divided(g)
            weight, bias = (g.floats([value] * g.param_shapes[0][0]) for value in (1.0, 0.0))
        top = g.op("BatchNormalization", [x, weight, bias, mean, variance], outputs, epsilon=self.eps)
        if outputs is None:
            g.op("Reshape", [top, g.ints([-1])], g.tops)


def _divided(g: Onnx) -> list[str]:
    """Mean and variance: BVLC's sums over their factor, 0 where that is 0 (nothing seen yet)."""
    zero, one = g.floats(0.0), g.floats(1.0)
    empty = g.op("Equal", [g.params[2], zero])
    divisor = g.op("Where", [empty, one, g.params[2]])
    weight = g.op("Where", [empty, zero, g.op("Div", [one, divisor])])
    return [g.op("Mul", [blob, weight]) for blob in g.params[:2]]

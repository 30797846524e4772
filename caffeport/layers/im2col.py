"""Im2col: the windows of a convolution, laid out as channels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.convolving import over
from caffeport.layers.windows import Window, keywords, read_window, slide


@dataclass(frozen=True, slots=True)
class Im2col(Layer):
    """Every window over the axes behind `axis` as a column: channels become channels x kernel, sides the places."""

    type = "Im2col"
    mirrors = "im2col_layer.cpp"

    window: Window
    axis: int

    @classmethod
    def read(cls, f: Fields, at: Site) -> Im2col:
        p = f.sub("convolution_param")
        # Im2col reads the window only; the rest of the message says nothing about it.
        p.ignore("num_output", "bias_term", "group", "weight_filler", "bias_filler", "engine", "force_nd_im2col")
        return cls(read_window(p), p.int("axis"))

    def infer(self, bottoms: Shapes) -> Inferred:
        axis, window = over(self.axis, self.window, bottoms)
        if not window.kernel:
            raise Misfit(f"axis is {axis} on a bottom of {axis + 1} axes", "Caffe wants an axis behind the channels")
        places = slide(bottoms[0][axis + 1 :], window)
        return Inferred(((*bottoms[0][:axis], bottoms[0][axis] * prod(window.kernel), *places),))

    def torch(self, bottoms: Shapes) -> Call:
        _, window = over(self.axis, self.window, bottoms)
        return Call("Im2col", (len(window.kernel),), keywords(window))

    def onnx(self, g: Onnx) -> None:
        axis, window = over(self.axis, self.window, g.shapes)
        axes, first = len(window.kernel), axis + 1
        pads = ((0,) * first + window.pad) * 2
        windows = g.op("Pad", [g.bottoms[0], g.ints(pads)]) if any(pads) else g.bottoms[0]
        # From the last axis on, each becomes two: the kernel's taps and the places where the kernel lies.
        for i in reversed(range(axes)):
            taps = [tap * window.dilation[i] for tap in range(window.kernel[i])]
            starts = [place * window.stride[i] for place in range(g.top_shapes[0][first + i])]
            rows = g.ints([[tap + start for start in starts] for tap in taps])
            windows = g.op("Gather", [windows, rows], axis=first + i)
        order = (*range(first), *range(first, first + 2 * axes, 2), *range(first + 1, first + 2 * axes, 2))
        windows = g.op("Transpose", [windows], perm=order)
        lead = (-1, *g.top_shapes[0][1:]) if axis else g.top_shapes[0]
        g.op("Reshape", [windows, g.ints(lead)], g.tops)

"""ROIPooling: the largest values of a grid laid over each region."""

from __future__ import annotations

from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Call, Inferred, Layer, Onnx, Shapes, Site
from caffeport.layers.faces import positive
from caffeport.layers.regions import check_regions


@dataclass(frozen=True, slots=True)
class ROIPooling(Layer):
    """Maximum of each cell of a grid over each region (picture, x1, y1, x2, y2); 0 where a cell is empty.

    rbgirshick/caffe-fast-rcnn: roi_pooling_layer.cpp.
    """

    type = "ROIPooling"
    bottoms = (2, 2)
    fork = "Fast R-CNN"
    mirrors = "roi_pooling_layer.cpp"

    height: int
    width: int
    scale: float

    @classmethod
    def read(cls, f: Fields, at: Site) -> ROIPooling:
        p = f.sub("roi_pooling_param")
        return cls(positive(p, "pooled_h"), positive(p, "pooled_w"), p.float("spatial_scale"))

    def infer(self, bottoms: Shapes) -> Inferred:
        check_regions(bottoms)
        return Inferred(((bottoms[1][0], bottoms[0][1], self.height, self.width),))

    def torch(self, bottoms: Shapes) -> Call:
        return Call("ROIPooling", (self.height, self.width, self.scale))

    def onnx(self, g: Onnx) -> None:
        rois = g.bottoms[1] if len(g.shapes[1]) == 2 else g.op("Reshape", [g.bottoms[1], g.ints((-1, 5))])
        shape = (self.height, self.width)
        g.op("MaxRoiPool", [g.bottoms[0], rois], g.tops, pooled_shape=shape, spatial_scale=self.scale)

"""Python: a layer whose code stands outside the net. It runs only if the user has registered a class for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from caffeport.caffe.fields import Fields
from caffeport.layers import python_proposal  # noqa: F401 - registers the class that ships
from caffeport.layers.base import MANY, Call, Inferred, Layer, Misfit, Onnx, Shapes, Site
from caffeport.layers.registered import PythonLayer, registered


@dataclass(frozen=True, slots=True)
class Python(Layer):
    """What the class does that was registered with register_python_layer; a net's own code is never run."""

    type = "Python"
    bottoms = (0, MANY)
    tops = (0, MANY)
    mirrors = "python_layer.hpp"

    module: str
    layer: str
    param_str: str
    tops_given: int
    face: PythonLayer

    @classmethod
    def read(cls, f: Fields, at: Site) -> Python:
        p = f.sub("python_param")
        p.ignore("share_in_parallel")  # of several GPUs training at once
        param_str, module, layer = p.str("param_str"), p.str("module"), p.str("layer")
        make = registered(module, layer)
        if make is None:
            raise p.refuse(
                "python_param",
                f"names class {layer!r} of module {module!r}, which is not registered",
                "a net's Python code is never run",
                f"register a class of your own with caffeport.register_python_layer({module!r}, {layer!r}, ...)",
            )
        return cls(module, layer, param_str, at.tops, make(param_str))

    @property
    def varying(self) -> bool:  # type: ignore[override]
        """Whether the class that was registered says so of itself."""
        return bool(getattr(self.face, "varying", False))

    def infer(self, bottoms: Shapes) -> Inferred:
        found = self.face.infer(bottoms, self.tops_given)
        inferred = found if isinstance(found, Inferred) else Inferred(tuple(map(tuple, found)))
        sides = [side for shape in (*inferred.tops, *inferred.params) for side in shape]
        if len(inferred.tops) != self.tops_given or any(type(side) is not int or side < 0 for side in sides):
            made = f"the class registered for {self.layer!r} gives shapes {inferred.tops} for {self.tops_given} tops"
            raise Misfit(made, "one tuple of whole numbers per top")
        return inferred

    def torch(self, bottoms: Shapes) -> Call:
        return self.face.torch(bottoms)

    def onnx(self, g: Onnx) -> None:
        face: Callable[[Onnx], Any] | None = getattr(self.face, "onnx", None)
        if face is None:
            raise g.refuse(f"the class registered for {self.layer!r} has no `onnx` face")
        face(g)

"""What is carried with a model: how pictures become its inputs, and how its raw scores may be mapped."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from caffeport.errors import Refused, UnreadableFile
from caffeport.transform.mean import MAX_VALUES
from caffeport.transform.preprocessing import Preprocessing
from caffeport.transform.profiles import OutputMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METADATA: Final = "caffeport.recipe"
"""The key under which formats with text metadata (.onnx, .pt2) hold a recipe."""

_NUMBERS: Final = ("subtract", "multiply", "add", "low", "high")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Preprocessing, named maps of the output ('raw' is always there), and the profile's name where one was used."""

    preprocessing: Preprocessing
    outputs: tuple[OutputMap, ...] = ()
    profile: str = ""

    def output(self, name: str = "raw") -> OutputMap:
        """An output map by name. Raises Refused for an unknown one."""
        known = {"raw": OutputMap("raw"), **{one.name: one for one in self.outputs}}
        if name not in known:
            raise Refused("--score", f"is {name!r}", f"the model has {', '.join(known)}")
        return known[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; mean images stay outside (`Preprocessing.means`), infinite limits become None."""
        outputs = {
            one.name: {key: value if math.isfinite(value) else None for key, value in _numbers(one).items()}
            for one in self.outputs
        }
        return {"preprocessing": self.preprocessing.to_dict(), "outputs": outputs, "profile": self.profile}

    @classmethod
    def from_dict(cls, plain: Any, means: Mapping[str, NDArray[np.float32]], where: str = "recipe") -> Recipe:
        """The inverse of `to_dict`, every part checked. Raises UnreadableFile, Refused."""
        if not isinstance(plain, Mapping) or set(plain) != {"preprocessing", "outputs", "profile"}:
            raise UnreadableFile(where, "holds no recipe of this format", "preprocessing, outputs and profile")
        outputs, profile = plain["outputs"], plain["profile"]
        if not isinstance(outputs, Mapping) or not isinstance(profile, str):
            raise UnreadableFile(where, "holds a recipe whose outputs or profile are of another type")
        maps = tuple(_output(name, value, where) for name, value in outputs.items())
        return cls(Preprocessing.from_dict(plain["preprocessing"], means), maps, profile)

    def to_json(self) -> str:
        """One string that holds all of it, mean images as base64 of little-endian float32."""
        means = {
            digest: {"shape": list(array.shape), "data": base64.b64encode(array.astype("<f4").tobytes()).decode()}
            for digest, array in self.preprocessing.means().items()
        }
        return json.dumps({**self.to_dict(), "means": means}, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: str = "recipe") -> Recipe:
        """The inverse of `to_json`. Raises UnreadableFile, Refused."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UnreadableFile(where, f"holds a recipe that is no JSON ({error})") from None
        if not isinstance(plain, dict) or not isinstance(plain.get("means"), dict):
            raise UnreadableFile(where, "holds no recipe of this format")
        means = {digest: _array(value, where) for digest, value in plain.pop("means").items()}
        return cls.from_dict(plain, means, where)

    def __str__(self) -> str:
        """The steps, one a line, then the output maps."""
        head = [f"profile: {self.profile}"] if self.profile else []
        return "\n".join([*head, str(self.preprocessing), *(f"output {one}" for one in self.outputs)])


def _numbers(one: OutputMap) -> dict[str, float]:
    return {key: getattr(one, key) for key in _NUMBERS}


def _output(name: object, value: object, where: str) -> OutputMap:
    good = isinstance(name, str) and isinstance(value, Mapping) and set(value) == set(_NUMBERS)
    if not good or not isinstance(name, str) or not isinstance(value, Mapping):
        raise UnreadableFile(where, f"holds the output map {name!r}: {value!r}", f"a name with {', '.join(_NUMBERS)}")
    limits = {"low": -math.inf, "high": math.inf}
    numbers = {key: limits.get(key) if number is None else number for key, number in value.items()}
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers.values()):
        raise UnreadableFile(where, f"output {name!r}: {value!r}", "numbers are needed")
    return OutputMap(name, **{key: float(number) for key, number in numbers.items() if number is not None})


def _array(value: Any, where: str) -> NDArray[np.float32]:
    """A mean image out of JSON; its claimed shape is checked before anything is decoded."""
    import numpy as np

    shape, data = (value.get("shape"), value.get("data")) if isinstance(value, dict) else (None, None)
    sides = isinstance(shape, list) and len(shape) == 3 and all(type(side) is int and side > 0 for side in shape)
    if not sides or not isinstance(shape, list) or not isinstance(data, str):
        raise UnreadableFile(where, "holds a mean image without a shape of three sides and its data")
    count = math.prod(shape)
    if count > MAX_VALUES or len(data) != 4 * -(-4 * count // 3):
        raise UnreadableFile(where, f"a mean image of {shape} in {len(data)} characters", "the two must fit together")
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise UnreadableFile(where, f"a mean image is no base64 ({error})") from None
    if len(raw) != 4 * count:
        raise UnreadableFile(where, f"a mean image of {shape} holds {len(raw)} bytes")
    return np.frombuffer(raw, "<f4").reshape(shape)

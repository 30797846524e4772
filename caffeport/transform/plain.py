"""Read `Preprocessing` back from plain data (JSON, TOML): every key and type checked, nothing guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from caffeport.errors import Refused
from caffeport.transform.mean import MeanImage
from caffeport.transform.preprocessing import FORMAT, Crop, Preprocessing, Resize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "colour": (str,),
    "order": (str,),
    "exif": (bool,),
    "value_range": (int, float),
    "raw_scale": (int, float),
    "scale": (int, float),
    "mirror": (str,),
}
_RESIZE: Final[Mapping[str, tuple[type, ...]]] = {"height": (int,), "width": (int,), "method": (str,)}
_CROP: Final[Mapping[str, tuple[type, ...]]] = {"height": (int,), "width": (int,), "mode": (str,), "centre": (str,)}


def read_preprocessing(plain: Mapping[str, Any], means: Mapping[str, NDArray[np.float32]]) -> Preprocessing:
    """`Preprocessing` from `to_dict`'s data and the mean arrays by SHA-256. Raises Refused."""
    if not isinstance(plain, Mapping) or plain.get("format", FORMAT) != FORMAT:
        raise Refused("preprocessing", "is of an unknown format", f"format {FORMAT} is read", "update caffeport")
    rest = {key: value for key, value in plain.items() if key != "format"}
    mean = _read_mean(rest.pop("mean", None), means)
    return Preprocessing(mean=mean, **read_parts(rest))


def read_parts(plain: Mapping[str, Any], where: str = "preprocessing") -> dict[str, Any]:
    """Arguments of `Preprocessing` (all but the mean image) from plain data. Raises Refused."""
    rest = dict(plain)
    parts: dict[str, Any] = {}
    for name, kind, keys in (("resize", Resize, _RESIZE), ("crop", Crop, _CROP)):
        value = rest.pop(name, None)
        if value is not None:
            parts[name] = kind(**_typed(value, keys, f"{where}: {name}", needed=("height", "width")))
    values = rest.pop("mean_values", ())
    if not isinstance(values, (list, tuple)) or not all(_is(value, (int, float)) for value in values):
        raise Refused(where, f"mean_values is {values!r}", "a list of numbers is needed")
    parts["mean_values"] = tuple(float(value) for value in values)
    return parts | _typed(rest, _KINDS, where)


def _read_mean(reference: object, means: Mapping[str, NDArray[np.float32]]) -> MeanImage | None:
    if reference is None:
        return None
    if not isinstance(reference, Mapping) or not isinstance(reference.get("sha256"), str):
        raise Refused("preprocessing", f"mean is {reference!r}", "a reference with its sha256 is needed")
    digest = reference["sha256"]
    if digest not in means:
        raise Refused(
            "preprocessing", f"the mean image {digest[:12]} is missing", todo="give it beside the description"
        )
    mean = MeanImage(means[digest])
    if mean.sha256 != digest:
        raise Refused("preprocessing", f"the mean image {digest[:12]} has other content ({mean.sha256[:12]})")
    return mean


def _typed(
    value: object, keys: Mapping[str, tuple[type, ...]], where: str, needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The mapping's items, each of its key's type."""
    if not isinstance(value, Mapping):
        raise Refused(where, f"is {value!r}", f"a table with {', '.join(keys)}")
    for key, item in value.items():
        if key not in keys:
            raise Refused(where, f"has the unknown key {key!r}", f"known are {', '.join(keys)}")
        if not _is(item, keys[key]):
            raise Refused(where, f"{key} is {item!r}", f"a value of type {keys[key][-1].__name__} is needed")
    for key in needed:
        if key not in value:
            raise Refused(where, f"lacks {key!r}")
    return {key: float(item) if float in keys[key] else item for key, item in value.items()}


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))

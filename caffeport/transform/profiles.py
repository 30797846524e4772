"""Profiles: how a published model's pictures are prepared and its scores read, as small TOML files.

`load_profile` takes the name of a built-in one (``caffeport/profiles/*.toml``) or the path of the user's own.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from caffeport.errors import Refused, UnreadableFile
from caffeport.transform.build import as_mean, with_flags
from caffeport.transform.plain import read_parts
from caffeport.transform.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Number = TypeVar("Number", float, "NDArray[np.floating[Any]]")

MEANS: Final = ("image", "values", "none")
_KEYS: Final = ("name", "summary", "source", "base", "preprocessing", "published", "outputs")
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class OutputMap:
    """How a raw score becomes a published one: clip((x - subtract) * multiply + add, low, high)."""

    name: str
    subtract: float = 0.0
    multiply: float = 1.0
    add: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def __call__(self, score: Number) -> Number:
        """Map a number or an array of them."""
        mapped = (score - self.subtract) * self.multiply + self.add
        if isinstance(mapped, float):
            return min(max(mapped, self.low), self.high)
        return mapped.clip(self.low, self.high)

    def __str__(self) -> str:
        mapped = f"(x - {self.subtract:g}) * {self.multiply:g} + {self.add:g}"
        return f"{self.name}: clip({mapped}, {self.low:g}, {self.high:g})"


@dataclass(frozen=True, slots=True)
class Profile:
    """A model's preprocessing less its mean image, and the named maps of its output (the raw score is the default).

    `mean` says what the profile subtracts: 'image' (the user's own file), 'values' (those published) or 'none'.
    """

    name: str
    summary: str
    source: str
    base: Preprocessing
    mean: str
    published_mean: tuple[float, ...] = ()
    outputs: Mapping[str, OutputMap] = field(default_factory=dict)

    def preprocessing(self, mean: Any = None, *, published_mean: bool = False, **flags: Any) -> Preprocessing:
        """The profile's `Preprocessing`.

        Args:
            mean: the mean image: a path (.binaryproto, .npy, .npz, .mat), an array or a `MeanImage`.
            published_mean: take the published channel means where the profile wants an image and none is at hand.
            flags: what `with_flags` takes, on top of the profile.

        Raises Refused where a mean image is needed and not given.
        """
        prep, image = self.base, as_mean(mean)
        overridden = flags.get("mean_values") is not None
        flags["mean"] = image
        if image is not None:
            if published_mean or overridden:
                raise Refused(f"profile '{self.name}'", "a mean image and mean values are both given", "one of them")
        elif overridden or (isinstance(mean, str) and mean == "none"):
            pass
        elif self.mean == "values" or published_mean:
            if not self.published_mean:
                raise Refused(f"profile '{self.name}'", "publishes no mean values")
            prep = replace(prep, mean_values=self.published_mean)
        elif self.mean == "image":
            values = ", ".join(f"{value:g}" for value in self.published_mean)
            fallback = f", or --published-mean (published_mean) for the channel means {values}" if values else ""
            raise Refused(
                f"profile '{self.name}'",
                "needs the model's mean image",
                "a .binaryproto, .npy or .mat",
                f"give --mean FILE (mean){fallback}",
            )
        return with_flags(prep, flags)

    def output(self, name: str = "raw") -> OutputMap:
        """An output map by name; 'raw' changes nothing. Raises Refused for an unknown name."""
        if name == "raw":
            return OutputMap("raw")
        if name not in self.outputs:
            raise Refused(f"profile '{self.name}'", f"has no output {name!r}", f"raw, {', '.join(self.outputs)}")
        return self.outputs[name]


def profile_names() -> tuple[str, ...]:
    """The built-in profiles."""
    return tuple(sorted(item.name[:-5] for item in _folder().iterdir() if item.name.endswith(".toml")))


def load_profile(name: str | os.PathLike[str]) -> Profile:
    """A built-in profile by name, or the user's own by the path of its .toml. Raises Refused, UnreadableFile."""
    return _load(os.fspath(name), ())


def _folder() -> Any:
    return resources.files("caffeport") / "profiles"


def _load(name: str, above: tuple[str, ...]) -> Profile:
    if name in above or len(above) > 8:
        raise Refused(f"profile {name!r}", f"is its own base ({' -> '.join((*above, name))})")
    if name.endswith(".toml"):
        text, where = _read_file(Path(name)), name
        base_names = Path(name).parent
    else:
        if name not in profile_names():
            raise Refused(
                f"profile {name!r}", "is unknown", f"{', '.join(profile_names())}, or the path of a .toml file"
            )
        text, where, base_names = (_folder() / f"{name}.toml").read_text("utf-8"), f"profile '{name}'", Path()
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnreadableFile(where, f"is no TOML ({error})") from None
    base = table.get("base")
    if base is not None:
        _check(isinstance(base, str), where, f"base is {base!r}", "the name of a profile")
        parent = str(base_names / base) if base.endswith(".toml") else base
        return _read(table, where, _load(parent, (*above, name)))
    return _read(table, where, None)


def _read_file(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UnreadableFile(str(path), "is larger than 1 MiB", "a profile is a small file")
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UnreadableFile(str(path), f"cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _read(table: Mapping[str, Any], where: str, base: Profile | None) -> Profile:
    """Check every key; what a profile leaves out comes from its base."""
    for key in table:
        _check(key in _KEYS, where, f"unknown key {key!r}", f"known are {', '.join(_KEYS)}")
    texts = {key: table.get(key, getattr(base, key, "")) for key in ("name", "summary", "source")}
    for key, value in texts.items():
        _check(isinstance(value, str), where, f"{key} is {value!r}", "a text")
    _check(re.fullmatch(r"[\w.+-]{1,64}", texts["name"]) is not None, where, f"name is {texts['name']!r}", "a word")
    parts = _table(table, "preprocessing", where)
    mean = parts.pop("mean", base.mean if base else "none")
    _check(mean in MEANS, where, f"preprocessing: mean is {mean!r}", f"one of {', '.join(MEANS)}")
    published = _table(table, "published", where)
    values = read_parts(published, f"{where}: published")["mean_values"] or (base.published_mean if base else ())
    outputs = {name: _output(name, value, where) for name, value in _table(table, "outputs", where).items()}
    return Profile(
        **texts,
        base=_merge(parts, where, base.base if base else None),
        mean=mean,
        published_mean=values,
        outputs={**(base.outputs if base else {}), **outputs},
    )


def _merge(parts: dict[str, Any], where: str, base: Preprocessing | None) -> Preprocessing:
    """Settings over the base's; a table such as crop may name only the keys that differ."""
    if base is not None:
        plain = base.to_dict()
        for name in ("resize", "crop"):
            if isinstance(parts.get(name), Mapping):
                parts[name] = {**(plain[name] or {}), **parts[name]}
        parts = {key: plain[key] for key in plain if key not in ("format", "mean")} | parts
    return Preprocessing(**read_parts(parts, f"{where}: preprocessing"))


def _output(name: str, value: object, where: str) -> OutputMap:
    keys = ("subtract", "multiply", "add", "low", "high")
    _check(isinstance(value, Mapping), where, f"outputs: {name} is {value!r}", f"a table with {', '.join(keys)}")
    numbers: dict[str, float] = {}
    for key, number in value.items() if isinstance(value, Mapping) else ():
        good = key in keys and isinstance(number, (int, float)) and not isinstance(number, bool)
        _check(good, where, f"outputs: {name}: {key} is {number!r}", f"numbers for {', '.join(keys)}")
        numbers[key] = float(number)
    return OutputMap(name, **numbers)


def _table(table: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = table.get(key, {})
    _check(isinstance(value, dict), where, f"{key} is {value!r}", "a table")
    return dict(value)


def _check(good: bool, where: str, what: str, allowed: str) -> None:
    if not good:
        raise Refused(where, what, allowed)

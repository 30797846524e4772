"""The errors that caffeport raises on purpose, and the one grammar they speak.

    CaffeportError          where: what; what is allowed; what next
    ├── UnreadableFile      the bytes are not what they claim to be
    ├── Refused             understood, but not portable as it stands
    │   ├── UnknownLayer    no layer of that type
    │   ├── WeightsMismatch weights and net disagree
    │   └── Unportable      a back end has no exact construction for it
    ├── BadCase             a golden case that cannot be compared
    └── Problems            several of the above, all of them at once

The command line prints the message and exits with 2; no other exception is meant to reach a user.
"""

from __future__ import annotations

from collections.abc import Sequence


class CaffeportError(Exception):
    """A sentence for the user: *where, what, what is allowed, what next*.

    Args:
        where: file with its line or byte, and layer: ``net.prototxt:12: layer 'norm1' (LRN)``.
        what: what was found, with the field's name and value.
        allowed: what would have been fine.
        todo: what the user can do now.
    """

    def __init__(self, where: str, what: str, allowed: str = "", todo: str = "") -> None:
        self.where, self.what, self.allowed, self.todo = where, what, allowed, todo
        super().__init__("; ".join(part for part in (f"{where}: {what}", allowed, todo) if part))

    def __reduce__(self) -> tuple[type[CaffeportError], tuple[str, str, str, str]]:
        """Errors cross the borders of worker processes whole."""
        return type(self), (self.where, self.what, self.allowed, self.todo)

    @property
    def problems(self) -> tuple[CaffeportError, ...]:
        """The single errors in this one: itself, or what `Problems` holds."""
        return (self,)


class UnreadableFile(CaffeportError):
    """The bytes are not what they claim to be: cut short, overlong, or another format."""


class Refused(CaffeportError):
    """The file was understood, and what it says cannot be ported as it stands."""


class UnknownLayer(Refused):
    """No layer of that type is known."""


class WeightsMismatch(Refused):
    """Weights and net disagree: a missing layer, another shape, another count."""


class Unportable(Refused):
    """A back end has no exact construction for the layer."""


class BadCase(CaffeportError):
    """A golden case that cannot be compared: files missing, blobs of another net."""


class Problems(CaffeportError):
    """All that is wrong at once, so that the user does not meet the errors one by one."""

    def __init__(self, problems: Sequence[CaffeportError]) -> None:
        self._problems = tuple(problems)
        Exception.__init__(self, "\n".join(map(str, problems)))

    def __reduce__(self) -> tuple[type[Problems], tuple[tuple[CaffeportError, ...]]]:  # type: ignore[override]
        """As any `CaffeportError`."""
        return type(self), (self._problems,)

    @property
    def problems(self) -> tuple[CaffeportError, ...]:
        """The single errors, in the order in which they were met."""
        return self._problems


def raise_all(problems: Sequence[CaffeportError]) -> None:
    """Raise what was collected: nothing, the single error itself, or all of them as `Problems`."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Problems(problems)

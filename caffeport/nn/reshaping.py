"""Modules that move numbers without changing them."""

from torch import Tensor, nn

__all__ = ["Crop", "Reshape", "Slice", "Tile"]


class Crop(nn.Module):
    """The part of x that has the sides of `like` from `axis` on and starts at the offsets."""

    def __init__(self, axis: int, offsets: tuple[int, ...]) -> None:
        super().__init__()
        self.axis, self.offsets = axis, offsets

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        for axis, offset in enumerate(self.offsets, self.axis):
            x = x.narrow(axis, offset, like.shape[axis])
        return x

    def extra_repr(self) -> str:
        return f"{self.axis}, {self.offsets}"


class Reshape(nn.Module):
    """Other sides in the place of the axes of a span (all of them): 0 copies x's side there, -1 takes what is left."""

    def __init__(self, sides: tuple[int, ...], span: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.sides, self.span = sides, span

    def forward(self, x: Tensor) -> Tensor:
        start, end = self.span or (0, x.dim())
        sides = [side or x.shape[axis] for axis, side in enumerate(self.sides, start)]
        return x.reshape([*x.shape[:start], *sides, *x.shape[end:]])

    def extra_repr(self) -> str:
        return f"{self.sides}" + (f", span={self.span}" if self.span else "")


class Slice(nn.Module):
    """x cut along an axis, into so many equal parts or at the points given."""

    def __init__(self, axis: int, cuts: int | tuple[int, ...]) -> None:
        super().__init__()
        self.axis, self.cuts = axis, cuts

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return x if self.cuts == 1 else x.tensor_split(self.cuts, self.axis)

    def extra_repr(self) -> str:
        return f"{self.axis}, {self.cuts}"


class Tile(nn.Module):
    """x so many times, one behind the other along an axis."""

    def __init__(self, axis: int, tiles: int) -> None:
        super().__init__()
        self.axis, self.tiles = axis, tiles

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(*[self.tiles if axis == self.axis else 1 for axis in range(x.dim())])

    def extra_repr(self) -> str:
        return f"{self.axis}, {self.tiles}"

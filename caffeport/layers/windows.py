"""Kernel, stride, pad and dilation as Caffe's proto spells them, for every layer that slides a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffeport.caffe.fields import Fields
from caffeport.layers.base import Misfit, Shape

Sides = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One number per spatial axis, or a single one for all of them, as read."""

    kernel: Sides
    stride: Sides = (1,)
    pad: Sides = (0,)
    dilation: Sides = (1,)

    def over(self, axes: int) -> Window:
        """The same window with every setting spelled out for that many spatial axes."""
        return Window(*(_spread(getattr(self, name), axes, name) for name in self.__slots__))


def _spread(values: Sides, axes: int, name: str) -> Sides:
    if len(values) == axes:
        return values
    if len(values) == 1:
        return values * axes
    if not values:
        raise Misfit(f"{name}_size is missing", "Caffe wants it once, or once per spatial axis")
    raise Misfit(f"{name} has {len(values)} values, the bottom has {axes} spatial axes", f"1 or {axes} are possible")


def read_window(p: Fields) -> Window:
    """ConvolutionParameter's spelling: repeated kernel_size, stride, pad, dilation, or the _h/_w pairs.

    DeepLab's and PSPNet's forks call dilation `hole` (`hole_h` and `hole_w`).
    """
    dilation = p.ints("dilation")
    if any(p.has(name) for name in ("hole", "hole_h", "hole_w")):
        if dilation:
            raise p.refuse("hole", "is set beside dilation", "the two are one setting in two forks")
        dilation = read_pair(p, "hole", "hole", 1)
    return Window(
        _read(p, "kernel_size", "kernel", None),
        _read(p, "stride", "stride", 1),
        _read(p, "pad", "pad", 0),
        dilation or (1,),
    )


def _read(p: Fields, name: str, pair: str, default: int | None) -> Sides:
    height, width = f"{pair}_h", f"{pair}_w"
    if p.has(height) or p.has(width):
        if p.ints(name):
            raise p.refuse(name, f"is set beside {height}/{width}", "Caffe takes one of the two")
        if default is None and not (p.has(height) and p.has(width)):
            raise p.refuse(height, "is set without the other side", f"{height} and {width} go together")
        return (p.int(height, default or 0), p.int(width, default or 0))
    values = p.ints(name)
    # Without spatial axes there is no kernel either: a missing one shows when the window meets the bottom.
    return values or (() if default is None else (default,))


def check(window: Window) -> Window:
    """Refuse what Caffe refuses: kernels, strides and dilations below 1."""
    for name in ("kernel", "stride", "dilation"):
        if min(getattr(window, name), default=1) < 1:
            raise Misfit(f"{name} is {getattr(window, name)}", "1 or more is possible")
    return window


def slide(spatial: Shape, window: Window) -> Shape:
    """Caffe's convolution output: floor((in + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1."""
    sides = []
    for size, k, s, p, d in zip(spatial, window.kernel, window.stride, window.pad, window.dilation, strict=True):
        extent = d * (k - 1) + 1
        if size + 2 * p < extent:
            raise Misfit(f"the kernel spans {extent}, the padded bottom only {size + 2 * p}", "a window must fit once")
        sides.append((size + 2 * p - extent) // s + 1)
    return tuple(sides)


def spread(spatial: Shape, window: Window) -> Shape:
    """Caffe's deconvolution output: stride (in - 1) + dilation (kernel - 1) + 1 - 2 pad."""
    sides = []
    for size, k, s, p, d in zip(spatial, window.kernel, window.stride, window.pad, window.dilation, strict=True):
        side = s * (size - 1) + d * (k - 1) + 1 - 2 * p
        if side < 1:
            raise Misfit(f"pad {p} takes all of the output: {side} places are left", "one place must be left")
        sides.append(side)
    return tuple(sides)


def keywords(window: Window) -> dict[str, int | Sides]:
    """A window as torch's keyword arguments, those left out that are at torch's default."""
    named = {
        "kernel_size": window.kernel,
        "stride": window.stride,
        "padding": window.pad,
        "dilation": window.dilation,
    }
    defaults: dict[str, int] = {"stride": 1, "padding": 0, "dilation": 1}
    # Without spatial axes only the (empty) kernel is left to say.
    said = {name: brief(sides) for name, sides in named.items() if sides or name == "kernel_size"}
    return {name: side for name, side in said.items() if side != defaults.get(name)}


def brief(sides: Sequence[int]) -> int | tuple[int, ...]:
    """One number where all sides agree, as people write ``kernel_size=3``."""
    return sides[0] if len(set(sides)) == 1 else tuple(sides)


def read_pair(p: Fields, name: str, pair: str, default: int | None) -> Sides:
    """PoolingParameter's spelling: one number, or an _h/_w pair. None in `default` means that it must be there."""
    height, width = f"{pair}_h", f"{pair}_w"
    if p.has(height) or p.has(width):
        if p.has(name):
            raise p.refuse(name, f"is set beside {height}/{width}", "Caffe takes one of the two")
        if not (p.has(height) and p.has(width)):
            raise p.refuse(height, "or the other side is set alone", f"{height} and {width} go together")
        return (p.int(height), p.int(width))
    if default is None and not p.has(name):
        raise p.refuse(name, "is missing", f"Caffe wants {name}, or {height} and {width}")
    side = p.int(name, default or 0)
    return (side, side)


def check_pads(window: Window) -> None:
    """Refuse pads that a whole window could lie in."""
    if any(p >= k for p, k in zip(window.pad, window.kernel, strict=True)):
        raise Misfit(f"pad is {window.pad} with kernel {window.kernel}", "Caffe wants pad below kernel")


def pool(spatial: Shape, window: Window, ceil: bool) -> Shape:
    """Caffe's pooling output: rounded up (or down), less a last window that starts in the padding behind."""
    sides = []
    for size, k, s, p in zip(spatial, window.kernel, window.stride, window.pad, strict=True):
        room = size + 2 * p - k
        # A kernel that overhangs by less than the stride still gives one place when it is rounded up.
        side = (-(-room // s) if ceil else room // s) + 1
        if side < 1:
            raise Misfit(f"kernel {k} is larger than the padded bottom, {size + 2 * p}", "a window must fit once")
        # Caffe looks at the padding of both axes before it drops a window on either.
        side -= any(window.pad) and (side - 1) * s >= size + p
        sides.append(side)
    return tuple(sides)


def tails(spatial: Shape, pooled: Shape, window: Window) -> tuple[int, ...]:
    """How far the last window reaches past the end of the bottom, per axis (negative: it ends before)."""
    each = zip(spatial, pooled, window.kernel, window.stride, window.pad, strict=True)
    return tuple((out - 1) * s - p + k - size for size, out, k, s, p in each)

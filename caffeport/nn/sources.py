"""Modules without inputs: learned blobs, and blobs that fill themselves."""

import torch
from torch import Tensor, nn

__all__ = ["DummyData", "LearnedBlob"]


class LearnedBlob(nn.Module):
    """Hands out its parameter."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self) -> Tensor:
        return self.weight.view_as(self.weight)


class DummyData(nn.Module):
    """Tensors of given shapes, each from a filler: constant (value) and bilinear (the kernel that enlarges) stay as
    they are; uniform (min, max), gaussian (mean, deviation, and the chance of a number to be more than 0) and shares
    (positive, with sum 1 for each item) are drawn at every call.
    """

    def __init__(self, shapes: tuple[tuple[int, ...], ...], fillers: tuple[tuple[str, tuple[float, ...]], ...]) -> None:
        super().__init__()
        self.shapes, self.fillers = shapes, fillers
        # Follows the module from device to device, so that the data do; no state to save.
        self.place = torch.empty(0, device="cpu")

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]  # as untyped as torch's own
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.place = fn(self.place)
        return self

    def forward(self) -> Tensor | tuple[Tensor, ...]:
        tops = tuple(self.fill(shape, *filler) for shape, filler in zip(self.shapes, self.fillers, strict=True))
        return tops[0] if len(tops) == 1 else tops

    def fill(self, shape: tuple[int, ...], kind: str, numbers: tuple[float, ...]) -> Tensor:
        top = self.place.new_empty(shape)
        if kind == "constant":
            return top.fill_(numbers[0])
        if kind == "uniform":
            return top.uniform_(*numbers)
        if kind == "gaussian":
            drawn = top.normal_(*numbers[:2])
            return drawn * (torch.rand_like(drawn) < numbers[2]) if len(numbers) > 2 else drawn
        if kind == "shares":
            rows = top.uniform_().flatten(1)
            return (rows / rows.sum(1, keepdim=True)).view(shape)
        half = -(-shape[3] // 2)
        centre = (shape[3] - 1) / (2 * half)
        slope = 1 - (torch.arange(shape[3], dtype=top.dtype, device=top.device) / half - centre).abs()
        return (slope[:, None] * slope).expand(shape)

    def extra_repr(self) -> str:
        return f"{self.shapes}, {self.fillers}"

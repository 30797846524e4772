"""Modules that bring several blobs together, or hand one on under other names."""

import torch
from torch import Tensor, nn

__all__ = ["Concat", "Eltwise", "Split"]


class Concat(nn.Module):
    """Joins its inputs along one axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *bottoms: Tensor) -> Tensor:
        return torch.cat(bottoms, self.axis)

    def extra_repr(self) -> str:
        return f"{self.axis}"


class Eltwise(nn.Module):
    """PROD, SUM (with coefficients) or MAX of inputs of one shape, element by element, from the first on."""

    def __init__(self, operation: str, coeff: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.operation, self.coeff = operation, coeff

    def forward(self, *bottoms: Tensor) -> Tensor:
        if self.coeff:
            bottoms = tuple(x if c == 1 else c * x for c, x in zip(self.coeff, bottoms, strict=True))
        top = bottoms[0]
        for place, x in enumerate(bottoms[1:], 1):
            if self.operation == "SUM":
                top = top + x
            elif self.operation == "PROD":
                top = top * x
            else:
                # Caffe gives a tie's whole gradient to one bottom (torch.maximum would halve it): of the first two to
                # the second, later on to the earlier one.
                top = torch.where(top > x, top, x) if place == 1 else torch.where(x > top, x, top)
        return top

    def extra_repr(self) -> str:
        return self.operation + (f", coeff={self.coeff}" if self.coeff else "")


class Split(nn.Module):
    """Hands its input on once per top."""

    def __init__(self, tops: int) -> None:
        super().__init__()
        self.tops = tops

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return x if self.tops == 1 else (x,) * self.tops

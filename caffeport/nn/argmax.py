"""Places of the largest values, ties as Caffe breaks them."""

import torch
from torch import Tensor, nn

__all__ = ["ArgMax"]


class ArgMax(nn.Module):
    """Places (as floats) of the `top_k` largest along `axis`; of equals the last comes first.

    Along an axis, its side becomes top_k, and `values` gives values instead of places. With axis None all of an item
    (N, ...) counts: the result is (N, 1, top_k), or with `values` (N, 2, top_k) with places first.
    """

    def __init__(self, axis: int | None, top_k: int = 1, values: bool = False) -> None:
        super().__init__()
        self.axis, self.top_k, self.values = axis, top_k, values

    def forward(self, x: Tensor) -> Tensor:
        axis = 1 if self.axis is None else self.axis
        rows = x.reshape(x.shape[0], -1) if self.axis is None else x
        # torch finds the first of equals: look from the other end.
        mirrored = rows.flip(axis)
        if self.top_k == 1:
            values, found = mirrored.max(axis, keepdim=True)
        else:
            values, found = mirrored.sort(dim=axis, descending=True, stable=True)
            values, found = values.narrow(axis, 0, self.top_k), found.narrow(axis, 0, self.top_k)
        places = (rows.shape[axis] - 1 - found).to(x.dtype)
        if self.axis is not None:
            return values if self.values else places
        top = torch.stack((places, values), 1) if self.values else places.unsqueeze(1)
        return top.reshape(*top.shape, *[1] * (x.dim() - 3))

    def extra_repr(self) -> str:
        return f"{self.axis}, top_k={self.top_k}, values={self.values}"

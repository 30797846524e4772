"""The end of a net that writes elsewhere."""

from torch import Tensor, nn

__all__ = ["Discard"]


class Discard(nn.Module):
    """Takes its inputs and gives nothing."""

    def forward(self, *bottoms: Tensor) -> None:
        return None

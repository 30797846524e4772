"""SSD's reordering of axes."""

from torch import Tensor, nn

__all__ = ["Permute"]


class Permute(nn.Module):
    """The axes in the order given."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order).contiguous()

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.order))

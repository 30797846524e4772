"""SegNet's unpooling."""

from torch import Tensor, nn

__all__ = ["Unpool"]


class Unpool(nn.Module):
    """Each value of x (N, C, h, w) goes where the mask of the same shape says, into zeros (N, C, height, width).

    The mask counts row * width + column. Of two values for one place the later stays; both get its gradient.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        zeros = x.new_zeros((x.shape[0], x.shape[1], self.height * self.width))
        filled = zeros.scatter(2, mask.flatten(2).long(), x.flatten(2))
        return filled.view(x.shape[0], x.shape[1], self.height, self.width)

    def extra_repr(self) -> str:
        return f"{self.height}, {self.width}"

"""Darknet's reorganisation of space and channels."""

from torch import Tensor, nn

__all__ = ["Reorg"]


class Reorg(nn.Module):
    """(N, C, H, W) to (N, C s s, H / s, W / s), or with `reverse` to (N, C / s / s, H s, W s).

    As darknet's, the forward direction takes its input for one of C / s / s channels and sides H s and W s.
    """

    def __init__(self, stride: int, reverse: bool = False) -> None:
        super().__init__()
        self.stride, self.reverse = stride, reverse

    def forward(self, x: Tensor) -> Tensor:
        s, (n, c, h, w) = self.stride, x.shape
        if self.reverse:
            parts = x.reshape(n, s, s, c // (s * s), h, w).permute(0, 3, 4, 1, 5, 2)
            return parts.reshape(n, c // (s * s), h * s, w * s)
        parts = x.reshape(n, c // (s * s), h, s, w, s).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(n, c * s * s, h // s, w // s)

    def extra_repr(self) -> str:
        return f"{self.stride}, reverse={self.reverse}"

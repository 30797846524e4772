"""Cropping around the middle."""

from torch import Tensor, nn

__all__ = ["CropCenter"]


class CropCenter(nn.Module):
    """Takes so many elements off both ends of each axis, one number per axis."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, x: Tensor) -> Tensor:
        for axis, size in enumerate(self.sizes):
            if size:
                x = x.narrow(axis, size, x.shape[axis] - 2 * size)
        return x

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.sizes))

"""Sums and means over trailing axes."""

from torch import Tensor, nn

__all__ = ["Reduction"]


class Reduction(nn.Module):
    """coeff times the SUM, ASUM (of magnitudes), SUMSQ (of squares) or MEAN over all axes from `axis` on."""

    def __init__(self, operation: str, axis: int, coeff: float = 1.0) -> None:
        super().__init__()
        self.operation, self.axis, self.coeff = operation, axis, coeff

    def forward(self, x: Tensor) -> Tensor:
        axes = list(range(self.axis, x.dim()))
        if self.operation == "MEAN":
            return x.mean(axes) * self.coeff
        x = x.abs() if self.operation == "ASUM" else x.square() if self.operation == "SUMSQ" else x
        return x.sum(axes) * self.coeff

    def extra_repr(self) -> str:
        return f"{self.operation}, {self.axis}, coeff={self.coeff}"

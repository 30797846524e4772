"""Mean and variance normalisation of each item."""

from torch import Tensor, nn

__all__ = ["MVN"]


class MVN(nn.Module):
    """(x - mean) / (standard deviation + eps) over each channel of (N, C, ...), or `across` all channels."""

    def __init__(self, variance: bool = True, across: bool = False, eps: float = 1e-9) -> None:
        super().__init__()
        self.variance, self.across, self.eps = variance, across, eps

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(*x.shape[: 1 if self.across else 2], -1)
        centred = rows - rows.mean(-1, keepdim=True)
        if not self.variance:
            return centred.view_as(x)
        variance = centred.square().mean(-1, keepdim=True)
        divisor = variance.sqrt().detach() + self.eps
        # Caffe's backward pass takes the divisor for the square root itself, as if eps stood in front of it.
        divisor = (divisor.square() + (variance - variance.detach())).sqrt()
        return (centred / divisor).view_as(x)

    def extra_repr(self) -> str:
        return f"variance={self.variance}, across={self.across}, eps={self.eps}"

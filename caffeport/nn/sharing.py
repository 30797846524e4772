"""Parameters that two layers share in different shapes."""

import torch
from torch import Tensor, nn

__all__ = ["Reshaped"]


class Reshaped(nn.Module):
    """A module whose parameters are kept in other shapes of equal counts, so that another module may own them.

    `kept` gives the shapes to keep, by name; the parameters' names stay as they were.
    """

    def __init__(self, module: nn.Module, **kept: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.shapes = module, {}
        for name, parameter in list(module.named_parameters(recurse=False)):
            self.shapes[name] = parameter.shape
            self.register_parameter(name, nn.Parameter(parameter.detach().view(kept.get(name, parameter.shape))))
            module.register_parameter(name, None)

    def forward(self, *bottoms: Tensor) -> Tensor | tuple[Tensor, ...]:
        own = {name: getattr(self, name).view(shape) for name, shape in self.shapes.items()}
        made: Tensor | tuple[Tensor, ...] = torch.func.functional_call(self.module, own, bottoms)
        return made

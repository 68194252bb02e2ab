"""Sequential: modules one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .module import Module


class Sequential(Module):
    """Modules that each take the output of the one before. They are named 0, 1, and so on.

    >>> import nn
    >>> model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.ReLU(), nn.Linear(8, 2, rng=1))
    >>> model
    Sequential(
      0: Linear(4, 8)
      1: ReLU()
      2: Linear(8, 2)
    )
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> model[1:]
    Sequential(
      0: ReLU()
      1: Linear(8, 2)
    )
    """

    def __init__(self, *modules: Module) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> Sequential:
        """Add a module at the end. Returns the Sequential."""
        if not isinstance(module, Module):
            what = (
                f"the class {module.__name__}: make one with {module.__name__}(...)"
                if isinstance(module, type)
                else repr(module)
            )
            raise TypeError(f"Sequential: takes modules, each an argument of its own, and was given {what}")
        setattr(self, str(len(self)), module)
        return self

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    def __len__(self) -> int:
        return sum(name.isdigit() for name in vars(self))

    def __iter__(self) -> Iterator[Module]:
        return iter([module for name, module in vars(self).items() if name.isdigit()])

    def __getitem__(self, index: int | slice) -> Any:
        chosen = list(self)[index]
        return Sequential(*chosen) if isinstance(chosen, list) else chosen

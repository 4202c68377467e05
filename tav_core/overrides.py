"""Replacing ``forward`` on single modules, and taking the replacement off again without a trace."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


class Overrides:
    """Instance-level replacements of ``forward``.

    An override lives in the module's ``__dict__``: the class, the parameters and the state-dict keys are untouched,
    so what another program knows about the network (LoRA keys, hooks, memory accounting) stays true.
    """

    def __init__(self) -> None:
        self._replaced: list[tuple[nn.Module, Callable | None]] = []

    def set(self, module: nn.Module, make_forward: Callable[[Callable], Callable]) -> None:
        """Replace ``module.forward`` by ``make_forward(original_forward)``."""
        previous = module.__dict__.get("forward")
        self._replaced.append((module, previous))
        module.forward = make_forward(module.forward)

    def clear(self) -> None:
        """Take every override off, the newest first."""
        while self._replaced:
            module, previous = self._replaced.pop()
            if previous is None:
                del module.__dict__["forward"]
            else:
                module.forward = previous

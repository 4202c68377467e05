"""Replacement of methods on single modules, which comes off again without a trace."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn


class Overrides:
    """Instance-level replacements of ``forward`` or another method.

    An override lives in the module's ``__dict__``: the class, the parameters and the state-dict keys are untouched,
    so what another program knows about the network (LoRA keys, hooks, memory accounting) stays true.
    """

    def __init__(self) -> None:
        self._replaced: list[tuple[nn.Module, str, Callable | None]] = []

    def set(self, module: nn.Module, method: str, patch: Callable, state: object) -> None:
        """Let ``module.method(...)`` call ``patch(state, module, original method, ...)``."""
        self._replaced.append((module, method, module.__dict__.get(method)))
        setattr(module, method, partial(patch, state, module, getattr(module, method)))

    def clear(self) -> None:
        """Remove every override, the newest first."""
        while self._replaced:
            module, method, previous = self._replaced.pop()
            if previous is None:
                del module.__dict__[method]
            else:
                setattr(module, method, previous)

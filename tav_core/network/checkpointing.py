"""Gradient checkpointing that does not compute again what is costly to compute and small to hold.

Within a recomputed part, only the inputs stay in memory, and, of what :meth:`Recomputation.keeping` surrounds, the
results of attention, matrix products and convolutions, as far as there is room for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.checkpoint import checkpoint

_COSTLY = ("attention", "flash", "aten::convolution", "aten::mm")
"""Parts of these operations' names; those of attention differ by device and kernel."""
LARGEST_KEPT = 256 << 20
"""Bytes of their results that are held at once."""


class Recomputation:
    """The recomputed part of a network that is being computed, for the first time or again."""

    def __init__(self) -> None:
        self._keeping: AbstractContextManager = nullcontext()
        self.room = 0
        """Bytes that may still be kept."""

    def begin(self) -> None:
        """A call of the network begins, which keeps nothing of an earlier one."""
        self.room = LARGEST_KEPT

    def run(self, compute: Callable[..., Tensor], *args: Any, preserve_rng_state: bool, **kwargs: Any) -> Tensor:
        """What ``compute`` gives, whose inner activations are computed again in the backward pass."""
        results: deque = deque()
        modes = iter((_Keep(self, results), _TakeKept(self, results)))

        def first_time_or_again(*args: Any, **kwargs: Any) -> Tensor:
            outer, self._keeping = self._keeping, next(modes)
            try:
                return compute(*args, **kwargs)
            finally:
                self._keeping = outer

        return checkpoint(
            first_time_or_again, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state, **kwargs
        )

    def keeping(self) -> AbstractContextManager:
        """Within this, the results of costly operations are kept, if a recomputed part is under way."""
        return self._keeping


class _Keep(TorchDispatchMode):
    """Puts the results of costly operations aside, in order; None where there is no room for one."""

    def __init__(self, recomputation: Recomputation, results: deque) -> None:
        super().__init__()
        self.recomputation, self.results = recomputation, results

    def __torch_dispatch__(
        self, operation: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        result = operation(*args, **(kwargs or {}))
        if _is_costly(operation):
            size = sum(tensor.nbytes for tensor in tree_leaves(result) if isinstance(tensor, Tensor))
            fits = size <= self.recomputation.room
            self.recomputation.room -= size * fits
            self.results.append(tree_map_only(Tensor, Tensor.detach, result) if fits else None)
        return result


class _TakeKept(_Keep):
    """Gives these results instead of computing them, in the same order."""

    def __torch_dispatch__(
        self, operation: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kept = self.results.popleft() if _is_costly(operation) else None
        return operation(*args, **(kwargs or {})) if kept is None else kept


def _is_costly(operation: Callable) -> bool:
    return any(part in operation.name() for part in _COSTLY)

"""Selective activation checkpointing (Chen et al., arXiv 1604.06174).

Inside a checkpointed module, the outputs of attention, matrix products and convolutions under
:meth:`SelectiveCheckpointing.saving` are kept up to a budget of bytes per call; the backward pass recomputes the rest.
(``torch.utils.checkpoint.create_selective_checkpoint_contexts`` decides before an operation runs in the oldest torch
that is supported, when the size of its output is unknown.)
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

SAVED_OPERATIONS = ("attention", "flash", "aten::convolution", "aten::mm")
"""Parts of the names of operations worth saving; those of attention differ by device and kernel."""
LARGEST_SAVED = 256 << 20
"""Bytes of their outputs that are saved per call of the network."""


class SelectiveCheckpointing:
    """Checkpoint modules of a network and save chosen outputs inside them."""

    def __init__(self) -> None:
        self._mode: AbstractContextManager = nullcontext()
        self.budget = 0
        """Bytes that may still be saved in the current call."""

    def begin(self) -> None:
        """Reset the budget for a new call of the network."""
        self.budget = LARGEST_SAVED

    def run(self, compute: Callable[..., Tensor], *args: Any, preserve_rng_state: bool, **kwargs: Any) -> Tensor:
        """Return ``compute(*args, **kwargs)`` and recompute its activations in the backward pass."""
        outputs: deque = deque()
        modes = iter((_Save(self, outputs), _Reuse(self, outputs)))  # forward, then recomputation

        def compute_in_mode(*args: Any, **kwargs: Any) -> Tensor:
            outer, self._mode = self._mode, next(modes)
            try:
                return compute(*args, **kwargs)
            finally:
                self._mode = outer

        return checkpoint(compute_in_mode, *args, use_reentrant=False, preserve_rng_state=preserve_rng_state, **kwargs)

    def saving(self) -> AbstractContextManager:
        """Return a context that saves outputs of :data:`SAVED_OPERATIONS`, if a checkpointed module is running."""
        return self._mode


class _Save(TorchDispatchMode):
    """Append the outputs of operations worth saving to a queue; None where the budget is spent."""

    def __init__(self, checkpointing: SelectiveCheckpointing, outputs: deque) -> None:
        super().__init__()
        self.checkpointing, self.outputs = checkpointing, outputs

    def __torch_dispatch__(
        self, operation: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        result = operation(*args, **(kwargs or {}))
        if _is_saved(operation):
            size = sum(tensor.nbytes for tensor in tree_leaves(result) if isinstance(tensor, Tensor))
            if size <= self.checkpointing.budget:
                self.checkpointing.budget -= size
                self.outputs.append(tree_map_only(Tensor, Tensor.detach, result))
            else:
                self.outputs.append(None)
        return result


class _Reuse(_Save):
    """Return the saved outputs in their order instead of computing them."""

    def __torch_dispatch__(
        self, operation: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        saved = self.outputs.popleft() if _is_saved(operation) else None
        return operation(*args, **(kwargs or {})) if saved is None else saved


def _is_saved(operation: Callable) -> bool:
    return any(part in operation.name() for part in SAVED_OPERATIONS)

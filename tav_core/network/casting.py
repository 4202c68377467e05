"""Computation in another precision than the weights are stored in, without a second copy of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_WEIGHTED = {F.linear, F.conv2d, torch.conv2d, F.group_norm, F.layer_norm}


class CastWeights(TorchFunctionMode):
    """Cast weights to the precision of the input they meet, each for one use."""

    def __torch_function__(
        self, function: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        if function in _WEIGHTED:
            dtype = args[0].dtype
            args = args[:1] + tuple(_cast(a, dtype) for a in args[1:])
            kwargs = {name: _cast(a, dtype) for name, a in kwargs.items()}
        return function(*args, **kwargs)


def _cast(value: object, dtype: torch.dtype) -> object:
    return value.to(dtype) if isinstance(value, torch.Tensor) else value

"""A convolution with a frozen weight that saves nothing of its input, for less memory while learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def is_plain(module: nn.Conv2d, method: Callable) -> bool:
    """Return whether :class:`FrozenConvolution` computes what ``method``, the ``_conv_forward`` of ``module``, does.

    Nodes that make pictures tile replace the method by one that pads in its own way.
    """
    return (
        getattr(method, "__func__", None) is nn.Conv2d._conv_forward
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


class FrozenConvolution(torch.autograd.Function):
    """Convolve and save only the shape of the input, which suffices for its gradient.

    The module's own weight is not saved either: a checkpointed module that ends in convolutions then recomputes none.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, module: nn.Conv2d) -> Tensor:
        if weight is not module.weight:  # cast or patched for this one use
            ctx.save_for_backward(weight)
        ctx.module, ctx.shape = module, x.shape
        return F.conv2d(x, weight, bias, module.stride, module.padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        module, (weight,) = ctx.module, ctx.saved_tensors or (ctx.module.weight,)
        weight = weight.to(gradient)
        return (
            torch.nn.grad.conv2d_input(ctx.shape, weight, gradient, module.stride, module.padding),
            None,
            None,
            None,
        )

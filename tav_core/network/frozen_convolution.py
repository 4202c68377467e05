"""Convolutions whose weights are frozen: less memory while learning, and less time over very few pixels on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

MOST_PIXELS = 256
"""Output pixels of a batch, up to which a matrix product is taken.

At the bottom of the U-Net a small video has a handful of pixels and the network its largest kernels: a convolution
library then spends its time on reordering weights that are used once. One matrix product reads them once instead
(measured: 2 to 4 times faster up to about 128 output pixels, even at 512).
"""


def _is_plain(module: nn.Conv2d) -> bool:
    """Whether ``module`` is a zero-padded convolution whose arithmetic is its class's, and not an adapter's."""
    return (
        module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and "_conv_forward" not in vars(module)
    )


def frozen(module: nn.Conv2d, original: Callable) -> Callable:
    """What takes the place of ``original``, the ``_conv_forward`` of a convolution, if that is a plain one."""
    if not _is_plain(module):
        return original

    def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.dtype == weight.dtype and weight.device.type == "cpu" and module.kernel_size == (3, 3):
            height, width = (
                (size + 2 * padding - 3) // stride + 1
                for size, padding, stride in zip(x.shape[-2:], module.padding, module.stride)
            )
            if len(x) * height * width <= MOST_PIXELS:
                return _matrix_product(module, x, weight, bias, height, width)
        if torch.is_grad_enabled() and x.requires_grad and not weight.requires_grad:
            return _FrozenConvolution.apply(x, weight, bias, module)
        return original(x, weight, bias)

    return convolve


def _matrix_product(
    module: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None, height: int, width: int
) -> Tensor:
    patches = F.unfold(x, 3, padding=module.padding, stride=module.stride)
    out = weight.flatten(1) @ rearrange(patches, "b k p -> k (b p)")
    out = rearrange(out, "o (b h w) -> b o h w", h=height, w=width)
    return out if bias is None else out + bias[:, None, None]


class _FrozenConvolution(torch.autograd.Function):
    """A convolution that keeps nothing of its input: without a gradient for the weight, only its shape is needed.

    Nor does it keep the module's own weight, which stays: where a recomputed part ends in convolutions, nothing then
    asks for them to be computed again.
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

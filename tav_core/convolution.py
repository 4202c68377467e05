"""Convolutions over very few pixels, on the CPU.

At the bottom of the U-Net a small video has a handful of pixels and the network its largest kernels: a convolution
library then spends its time on reordering weights that are used once. One matrix product reads them once instead
(measured: 2 to 4 times faster up to about 128 output pixels, even at 512).
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

MOST_PIXELS = 256
"""Output pixels of a batch, up to which the matrix product is taken."""

_COMFYUI_CASTS = ("comfy_cast_weights", "weight_function", "bias_function")
"""Set on a module whose weights ComfyUI casts or patches on their way: it keeps its own forward."""


def is_plain(convolution: nn.Conv2d) -> bool:
    """Whether a matrix product can stand for this convolution: a zero-padded 3x3 one, on the CPU, whose forward is its
    class's and not an adapter's."""
    return (
        convolution.kernel_size == (3, 3)
        and convolution.groups == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and convolution.weight.device.type == "cpu"
        and "forward" not in vars(convolution)
    )


def forward(original: Callable[[Tensor], Tensor], convolution: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """The forward of a plain convolution: a matrix product where there are few pixels, else ``original``."""

    def few_or_many(x: Tensor) -> Tensor:
        height, width = (
            (size + 2 * padding - 3) // stride + 1
            for size, padding, stride in zip(x.shape[-2:], convolution.padding, convolution.stride)
        )
        casting = x.dtype != convolution.weight.dtype or any(getattr(convolution, a, False) for a in _COMFYUI_CASTS)
        if casting or len(x) * height * width > MOST_PIXELS:
            return original(x)
        return _matrix_product(convolution, x, height, width)

    return few_or_many


def _matrix_product(convolution: nn.Conv2d, x: Tensor, height: int, width: int) -> Tensor:
    patches = F.unfold(x, 3, padding=convolution.padding, stride=convolution.stride)
    out = convolution.weight.flatten(1) @ rearrange(patches, "b k p -> k (b p)")
    out = rearrange(out, "o (b h w) -> b o h w", h=height, w=width)
    return out if convolution.bias is None else out + convolution.bias[:, None, None]

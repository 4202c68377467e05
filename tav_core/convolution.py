"""Convolutions over very few pixels, on the CPU.

At the bottom of the U-Net a small video has a handful of pixels and the network its largest kernels: a convolution
library then spends its time on reordering weights that are used once. One matrix product reads them once instead
(measured: 2 to 4 times faster up to about 128 output pixels, even at 512).
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

MOST_PIXELS = 256
"""Output pixels of a batch, up to which the matrix product is taken."""


def is_plain(convolution: nn.Conv2d) -> bool:
    """Whether a matrix product can stand for this convolution: a zero-padded 3x3 one, on the CPU."""
    return (
        convolution.kernel_size == (3, 3)
        and convolution.groups == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and convolution.weight.device.type == "cpu"
    )


def output_size(convolution: nn.Conv2d, x: Tensor) -> tuple[int, int]:
    """Height and width of the convolution's output for ``x`` ``[b, c, h, w]``."""
    height, width = (
        (size + 2 * padding - 3) // stride + 1
        for size, padding, stride in zip(x.shape[-2:], convolution.padding, convolution.stride)
    )
    return height, width


def as_matrix_product(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """The convolution of ``x`` ``[b, c, h, w]``."""
    height, width = output_size(convolution, x)
    patches = F.unfold(x, 3, padding=convolution.padding, stride=convolution.stride)
    out = convolution.weight.flatten(1) @ rearrange(patches, "b k p -> k (b p)")
    out = rearrange(out, "o (b h w) -> b o h w", h=height, w=width)
    return out if convolution.bias is None else out + convolution.bias[:, None, None]

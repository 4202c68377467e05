"""Masks for edits: from the size of the frames to the size of the latents, grown and with soft edges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def latent_mask(mask: Tensor, latents: Tensor, feather: int = 0) -> Tensor:
    """Bring a mask to the size of latents.

    A latent at the edge may change by the share of its pixels that may. The decoder mixes neighbouring latents, so grow
    the mask by a latent or two if an edge of the old picture is left inside it.

    Args:
        mask: ``[h, w]`` for all frames or ``[f, h, w]``, 0..1, 1 where the video may change; pixels of any size.
        latents: ``[b, c, f, h, w]``.
        feather: width in latents of the soft edge, which lies inside the mask: nothing outside of it changes.

    Returns:
        ``[1, 1, f, h, w]``, or with 1 in place of f for one mask for all frames.

    Raises:
        ValueError: the mask has neither 1 nor f frames, or values that are not in 0..1.
    """
    mask = mask[None] if mask.ndim == 2 else mask
    frames, height, width = latents.shape[2:]
    if mask.ndim != 3 or len(mask) not in (1, frames):
        raise ValueError(
            f"A mask {list(mask.shape)} does not fit {frames} frames: give one for all, or one for each frame."
        )
    if not ((mask >= 0) & (mask <= 1)).all():
        raise ValueError("A mask has values from 0 (protected) to 1 (may change): scale this one.")
    mask = F.adaptive_avg_pool2d(mask.float()[:, None], (height, width))
    if feather > 0:
        inner = shrink(mask, feather)
        mask = torch.minimum(mask, blur(inner, feather))
    return rearrange(mask, "f 1 h w -> 1 1 f h w").to(latents.device)


def grow(mask: Tensor, pixels: int) -> Tensor:
    """Grow a mask ``[f, 1, h, w]`` by a number of pixels; a negative one shrinks it."""
    if pixels < 0:
        return shrink(mask, -pixels)
    return F.max_pool2d(mask, 2 * pixels + 1, stride=1, padding=pixels) if pixels else mask


def shrink(mask: Tensor, pixels: int) -> Tensor:
    """Shrink a mask ``[f, 1, h, w]`` by a number of pixels; what touches the edge of the picture stays there."""
    return 1 - grow(1 - mask, pixels)


def blur(mask: Tensor, pixels: int) -> Tensor:
    """Soften a mask ``[f, 1, h, w]`` by the mean over squares that reach ``pixels`` to each side."""
    return F.avg_pool2d(mask, 2 * pixels + 1, stride=1, padding=pixels, count_include_pad=False)

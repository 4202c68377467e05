"""Variations of a video: new noise mixed into its inverted latents."""

from __future__ import annotations

import torch
from torch import Tensor


def vary(latents: Tensor, amount: float, seed: int) -> Tensor:
    """Mix new noise into inverted latents on the sphere, so that latents of unit variance keep it.

    ``sqrt(1 - amount) * latents + sqrt(amount) * noise``: the more noise, the freer the edit and the less of the clip's
    layout and motion is left.

    Args:
        latents: inverted ``[b, c, f, h, w]``, of unit variance.
        amount: the noise's share of the variance, 0..1; 0 returns the latents as they are, 1 the noise alone.
        seed: of the noise, which is drawn on the CPU and so the same on every device.

    Returns:
        Latents to sample from ``[b, c, f, h, w]``.

    Raises:
        ValueError: an amount out of range.
    """
    if not 0 <= amount <= 1:
        raise ValueError(f"amount is {amount}; expected 0 (the inverted latents) to 1 (new noise).")
    if amount == 0:
        return latents
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents)
    return (1 - amount) ** 0.5 * latents + amount**0.5 * noise

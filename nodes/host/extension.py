"""Longer LATENTs."""

from __future__ import annotations

from einops import rearrange

from ... import tav_core


def extend_latent(latent: dict, frames: int, mode: str, seed: int) -> dict:
    """Return a LATENT of ``frames`` images that begins with those of ``latent``, see :func:`tav_core.extend`.

    Raises:
        ValueError: the latents are not a batch of images, or more than ``frames``.
    """
    samples = latent["samples"]
    if samples.ndim != 4:
        raise ValueError(
            f"These latents have the shape {list(samples.shape)}, but must be [frames, channels, height, width]: "
            "connect the latent of DDIM Invert."
        )
    samples = tav_core.extend(rearrange(samples, "f c h w -> 1 c f h w"), frames, mode, seed)
    kept = {name: value for name, value in latent.items() if name not in ("noise_mask", "batch_index")}
    return kept | {"samples": rearrange(samples, "1 c f h w -> f c h w")}

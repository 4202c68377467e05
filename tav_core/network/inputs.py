"""What a video U-Net is called with: whether it fits, and the inputs besides latents, timesteps and context."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Extra = Tensor | dict[str, Tensor]
"""A further input of a network: a tensor with one row per video, or several by name."""


def check_inputs(latents: Tensor, timesteps: Tensor, context: Tensor, channels: int, dim: int) -> None:
    """Raise ValueError unless latents ``[b, channels, f, h, w]``, timesteps ``[b]`` and context ``[b, tokens, dim]``
    fit a network and each other; timesteps and context may be one for all videos."""
    if latents.ndim != 5 or 0 in latents.shape:
        raise ValueError(f"Video latents have 5 dimensions [b, c, f, h, w], none of them 0: not {list(latents.shape)}.")
    b = latents.shape[0]
    if latents.shape[1] != channels:
        raise ValueError(
            f"Latents of {latents.shape[1]} channels do not fit this U-Net, which takes {channels}: encode the clip "
            "with the same checkpoint's VAE, and use no inpainting checkpoint."
        )
    if context.ndim != 3 or context.shape[0] not in (1, b) or context.shape[2] != dim:
        raise ValueError(
            f"A context {list(context.shape)} does not fit {b} videos in this U-Net: it takes [{b}, tokens, {dim}], "
            f"or [1, tokens, {dim}] for all; encode the text with the same checkpoint's text encoder."
        )
    if context.device != latents.device:
        raise ValueError(f"The latents are on {latents.device}, the context is on {context.device}: move one of them.")
    if timesteps.shape not in ((), (1,), (b,)):
        raise ValueError(f"Timesteps {list(timesteps.shape)} do not fit {b} videos: give one per video, or one.")


def map_tensors(values: dict[str, Extra], change: Callable[[Tensor], Tensor]) -> dict[str, Extra]:
    """``values`` with every tensor changed, those in inner dictionaries too."""
    return {k: map_tensors(v, change) if isinstance(v, dict) else change(v) for k, v in values.items()}

"""DDIM sampling with classifier-free guidance (arXiv 2010.02502, arXiv 2207.12598)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from .schedule import NoiseSchedule

Predict = Callable[[Tensor, int, Any], Tensor]
"""(latents ``[b, c, f, h, w]``, timestep, context ``[b, tokens, dim]``) -> prediction ``[b, c, f, h, w]``."""


def constant_context(predict: Predict) -> AbstractContextManager[None]:
    """Lets a :class:`VideoUNet` keep the projected text between the steps of a loop; nothing for other callables."""
    return getattr(predict, "constant_context", nullcontext)()


@torch.no_grad()
def ddim_sample(
    video_unet: Predict,
    schedule: NoiseSchedule,
    noise: Tensor,
    context: Tensor | None,
    negative_context: Tensor | None,
    steps: int = 50,
    guidance_scale: float = 12.5,
    on_step: Callable[[int, Tensor], bool | None] | None = None,
) -> Tensor:
    """Sample a video, deterministically.

    Args:
        video_unet: a :class:`VideoUNet`, or anything called like one.
        schedule: of the checkpoint.
        noise: latents to start from ``[b, c, f, h, w]``, inverted or drawn from a unit normal.
        context: text states of the prompt ``[b, tokens, dim]``, handed to ``video_unet``; None where that has its own.
        negative_context: text states to guide away from, published: of the empty prompt; unused without guidance.
        steps: 1 to the number of training timesteps.
        guidance_scale: 1 and below mean none (published behaviour), and save the second pass.
        on_step: called with (step counted from 1, latents); returning False stops after that step.

    Returns:
        Clean latents ``[b, c, f, h, w]``; the last step lands on the schedule's final alpha.

    Raises:
        ValueError: a number of steps out of range, or guidance without a negative context that fits the other.
    """
    guided = guidance_scale > 1
    if guided:
        context = _both(negative_context, context, len(noise))
    stride = schedule.stride(steps)
    latents = noise
    with constant_context(video_unet):
        for step, timestep in enumerate(schedule.timesteps(steps), start=1):
            if guided:
                negative, positive = video_unet(torch.cat([latents] * 2), timestep, context).chunk(2)
                prediction = torch.lerp(negative, positive, guidance_scale)
            else:
                prediction = video_unet(latents, timestep, context)
            latents = schedule.ddim_move(
                latents, prediction, schedule.alpha(timestep), schedule.alpha(timestep - stride)
            )
            if on_step is not None and on_step(step, latents) is False:
                break
    return latents


def _both(negative: Tensor | None, positive: Tensor, videos: int) -> Tensor:
    """The contexts of ``videos`` videos ``[2 videos, tokens, dim]``, the negative ones first."""
    if negative is None:
        raise ValueError(
            "Guidance needs a negative context: give the text states of the empty prompt, or a guidance scale of 1."
        )
    for context in (negative, positive):
        if context.shape[0] not in (1, videos) or context.shape[1:] != positive.shape[1:]:
            raise ValueError(
                f"The contexts {list(negative.shape)} and {list(positive.shape)} do not fit {videos} videos: give "
                "[1, tokens, dim] or one for each, of equally many tokens."
            )
    return torch.cat([negative.expand(videos, -1, -1), positive.expand(videos, -1, -1)])

"""DDIM inversion: from a clip's clean latents up to the noise that samples back to it (arXiv 2010.02502, 4.3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .sampling import Predict, constant_context
from .schedule import NoiseSchedule


@torch.no_grad()
def ddim_invert(
    video_unet: Predict,
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Tensor | None,
    steps: int = 50,
    on_step: Callable[[int, Tensor], bool | None] | None = None,
) -> list[Tensor]:
    """The DDIM trajectory of a clip, without guidance.

    As published, each step uses the prediction at the timestep it moves to, made from the latents before it.

    Args:
        video_unet: a :class:`VideoUNet`, or anything called like one.
        schedule: of the checkpoint.
        latents: clean latents ``[b, c, f, h, w]``.
        context: text states ``[b, tokens, dim]``, published: of the empty prompt; None where
            ``video_unet`` has its own.
        steps: 1 to the number of training timesteps.
        on_step: called with (step counted from 1, latents); returning False stops after that step.

    Returns:
        ``steps + 1`` latents, the clean ones first (fewer when stopped).

    Raises:
        ValueError: a number of steps out of range.
    """
    stride = schedule.stride(steps)
    trajectory = [latents]
    with constant_context(video_unet):
        for step, timestep in enumerate(reversed(schedule.timesteps(steps)), start=1):
            prediction = video_unet(latents, timestep, context)
            latents = schedule.ddim_move(
                latents, prediction, schedule.alpha(timestep - stride), schedule.alpha(timestep)
            )
            trajectory.append(latents)
            if on_step is not None and on_step(step, latents) is False:
                break
    return trajectory

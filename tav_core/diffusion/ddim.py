"""DDIM inversion and DDIM sampling with classifier-free guidance (arXiv 2010.02502, arXiv 2207.12598)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .schedule import NoiseSchedule
from .settings import SampleSettings

Model = Callable[..., Tensor]
"""``model(latents [b, c, f, h, w], timestep, **condition)`` -> noise or velocity ``[b, c, f, h, w]``: a
:class:`VideoUNet`, or any other function of that form."""
Condition = Tensor | dict[str, Any]
"""Text embeddings ``[b, tokens, dim]``, or everything that the model is conditioned on by the names it takes:
``context`` for text embeddings, and for SDXL ``added_cond_kwargs`` or ``y``."""
OnStep = Callable[[int, Tensor], bool | None]
"""Called with (step counted from 1, latents) after each step; returning False stops the loop."""


@torch.no_grad()
def ddim_invert(
    model: Model,
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Condition,
    steps: int = SampleSettings.steps,
    on_step: OnStep | None = None,
) -> list[Tensor]:
    """Invert a clip by DDIM, without guidance (arXiv 2010.02502, section 4.3).

    As published, each step uses the prediction at the timestep it moves to, made from the latents before it.

    Args:
        model: a :class:`VideoUNet` or another :data:`Model`.
        schedule: noise schedule of the checkpoint.
        latents: clean latents ``[b, c, f, h, w]``.
        context: text embeddings ``[b, tokens, dim]`` or a dictionary of conditions; published: of the empty prompt.
        steps: number of DDIM steps, 1 to the number of training timesteps.
        on_step: called with (step counted from 1, latents); returning False stops after that step.

    Returns:
        The trajectory: ``steps + 1`` latents, the clean ones first (fewer when stopped).

    Raises:
        ValueError: the number of steps is out of range.
    """
    condition = by_name(context)
    trajectory = [latents]
    for step, (timestep, alpha, alpha_below) in enumerate(reversed(schedule.steps(steps)), start=1):
        prediction = model(latents, timestep, **condition)
        latents = schedule.ddim_step(latents, prediction, alpha_below, alpha)
        trajectory.append(latents)
        if on_step is not None and on_step(step, latents) is False:
            break
    return trajectory


@torch.no_grad()
def ddim_sample(
    model: Model,
    schedule: NoiseSchedule,
    noise: Tensor,
    context: Condition,
    negative_context: Condition | None = None,
    steps: int = SampleSettings.steps,
    guidance_scale: float = SampleSettings.guidance_scale,
    on_step: OnStep | None = None,
    continue_from: list[Tensor] | None = None,
) -> Tensor:
    """Sample a video by DDIM with eta 0.

    Args:
        model: a :class:`VideoUNet` or another :data:`Model`.
        schedule: noise schedule of the checkpoint.
        noise: latents to start from ``[b, c, f, h, w]``, inverted or drawn from a unit normal.
        context: text embeddings of the prompt ``[b, tokens, dim]``, or a dictionary of conditions.
        negative_context: what guidance leads away from, published: the empty prompt; unused without guidance.
        steps: number of DDIM steps, 1 to the number of training timesteps.
        guidance_scale: weight of the prompt; 1 and below mean no guidance (published behaviour) and one pass per step.
        on_step: called with (step counted from 1, latents); returning False stops after that step.
        continue_from: frames before these ``[b, c, k, h, w]``, frame 0 first, as they were before each step; the
            network sees them, and they stay as they are. See :func:`.ddim_sample_autoregressive`.

    Returns:
        Clean latents ``[b, c, f, h, w]``; the last step lands on the schedule's final alpha.

    Raises:
        ValueError: the number of steps is out of range, guidance without a negative context that fits the other, or
            frames to continue from for fewer steps.
    """
    if continue_from is not None and len(continue_from) < steps:
        raise ValueError(
            f"There are frames to continue from for {len(continue_from)} steps, not {steps}: sample both in as many."
        )
    condition = by_name(context)
    guided = guidance_scale > 1
    if guided:
        if negative_context is None:
            raise ValueError(
                "Guidance needs a negative context: give the text embeddings of the empty prompt, or a guidance scale "
                "of 1."
            )
        condition = _negative_and_positive(by_name(negative_context), condition, len(noise))
    latents = noise
    for step, (timestep, alpha, alpha_below) in enumerate(schedule.steps(steps), start=1):
        seen = latents if continue_from is None else torch.cat([continue_from[step - 1], latents], dim=2)
        if guided:
            negative, positive = model(torch.cat([seen] * 2), timestep, **condition).chunk(2)
            prediction = torch.lerp(negative, positive, guidance_scale)
        else:
            prediction = model(seen, timestep, **condition)
        prediction = prediction[:, :, -latents.shape[2] :]
        latents = schedule.ddim_step(latents, prediction, alpha, alpha_below)
        if on_step is not None and on_step(step, latents) is False:
            break
    return latents


def by_name(condition: Condition) -> dict[str, Any]:
    """Return a condition as the keyword arguments of the model."""
    return condition if isinstance(condition, dict) else {"context": condition}


def _negative_and_positive(negative: dict[str, Any], positive: dict[str, Any], videos: int) -> dict[str, Any]:
    """The conditions of a batch of ``2 videos``, the negative ones first."""
    if negative.keys() != positive.keys():
        raise ValueError(
            f"The negative condition has {', '.join(negative) or 'nothing'}, the positive one "
            f"{', '.join(positive) or 'nothing'}: give both the same entries."
        )
    joined = {}
    for name, value in positive.items():
        if isinstance(value, dict):
            joined[name] = _negative_and_positive(negative[name], value, videos)
        else:
            joined[name] = _stacked(negative[name], value, videos)
    return joined


def _stacked(negative: Tensor, positive: Tensor, videos: int) -> Tensor:
    """Two tensors with one row per video, or one for all, as ``[2 videos, ...]``.

    Text embeddings of different lengths are repeated to a common one, which attention does not notice.
    """
    if negative.ndim == positive.ndim == 3:
        tokens = math.lcm(negative.shape[1], positive.shape[1])
        negative, positive = (x.repeat(1, tokens // x.shape[1], 1) for x in (negative, positive))
    for rows in (negative, positive):
        if rows.shape[0] not in (1, videos) or rows.shape[1:] != positive.shape[1:]:
            raise ValueError(
                f"The conditions {list(negative.shape)} and {list(positive.shape)} do not fit {videos} videos: give "
                "one row, or one for each video, of the same size."
            )
    return torch.cat([x.expand(videos, *x.shape[1:]) for x in (negative, positive)])

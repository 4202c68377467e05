"""DDIM inversion and DDIM sampling with classifier-free guidance (arXiv 2010.02502, arXiv 2207.12598)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
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

CONVERGED = 1e-3
"""Relative change of a prediction below which refining an inversion step ends."""


@torch.no_grad()
def ddim_invert(
    model: Model,
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Condition,
    steps: int = SampleSettings.steps,
    on_step: OnStep | None = None,
    refine: int = SampleSettings.refine,
    in_main_memory: bool = False,
) -> list[Tensor]:
    """Invert a clip by DDIM, without guidance (arXiv 2010.02502, section 4.3).

    As published, each step uses the prediction at the timestep it moves to, made from the latents before it. The step
    that sampling undoes uses the prediction from the latents it leads to: with ``refine``, every step begins with the
    prediction that the steps before it extrapolate to, and takes it again at the latents it leads to (fixed-point
    iteration, as in AIDI, arXiv 2309.04907, and ReNoise, arXiv 2403.14602).

    Args:
        model: a :class:`VideoUNet` or another :data:`Model`.
        schedule: noise schedule of the checkpoint.
        latents: clean latents ``[b, c, f, h, w]``.
        context: text embeddings ``[b, tokens, dim]`` or a dictionary of conditions; published: of the empty prompt.
        steps: number of DDIM steps, 1 to the number of training timesteps.
        on_step: called with (step counted from 1, latents); returning False stops after that step.
        refine: further calls of the model per step, at most: fewer where the prediction stands (it changes by less than
            :data:`CONVERGED`) or no longer comes closer. 0 is the published inversion.
        in_main_memory: hold the trajectory between its two ends in main memory, as float16.

    Returns:
        The trajectory: ``steps + 1`` latents, the clean ones first (fewer when stopped).

    Raises:
        ValueError: the number of steps is out of range.
    """
    condition = by_name(context)
    trajectory, predictions = [latents], []
    for step, (timestep, alpha, alpha_below) in enumerate(reversed(schedule.steps(steps)), start=1):

        def predict_above(prediction: Tensor) -> Tensor:
            """Predict from the latents that a prediction leads to."""
            above = schedule.ddim_step(latents, prediction, alpha_below, alpha)  # noqa: B023
            return model(above, timestep, **condition)  # noqa: B023

        if refine and predictions:
            prediction = _fixed_point(predict_above, _extrapolated(predictions), refine + 1)
        else:
            prediction = _fixed_point(predict_above, model(latents, timestep, **condition), refine)
        predictions = [*predictions[-1:], prediction]
        latents = schedule.ddim_step(latents, prediction, alpha_below, alpha)
        if in_main_memory and step > 1:
            trajectory[-1] = trajectory[-1].to("cpu", torch.float16)
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
    mask: Tensor | None = None,
    trajectory: Sequence[Tensor] | None = None,
    structure: float = 0.0,
) -> Tensor:
    """Sample a video by DDIM with eta 0.

    Two things keep what an edit should not change. Outside of a ``mask``, every step returns to the trajectory of the
    inversion, and ends in the clip's own latents. For the share ``structure`` of the steps, the first ones, the clip is
    reconstructed beside the edit, whose self-attention takes the reconstruction's queries and keys (Plug-and-Play,
    arXiv 2211.12572; FateZero, arXiv 2303.09535).

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
        mask: 1 where the video may change, 0 where it may not, in the size of the latents; any shape that broadcasts to
            ``[b, c, f, h, w]``, as :func:`.latent_mask` makes it. 1 everywhere changes nothing, to the bit.
        trajectory: ``steps + 1`` latents of :func:`ddim_invert`, which a mask needs; ``structure`` uses it if given.
        structure: 0 (published) to 1: of the ``model``, a :class:`VideoUNet`, or another one with
            ``shared_attention``. The reconstruction is conditioned on ``negative_context``; it costs one more pass.

    Returns:
        Clean latents ``[b, c, f, h, w]``; the last step lands on the schedule's final alpha.

    Raises:
        ValueError: the number of steps or ``structure`` is out of range, guidance or ``structure`` without a negative
            context that fits the other, frames to continue from for fewer steps, or a mask and a trajectory that do not
            fit the latents.
    """
    if continue_from is not None and len(continue_from) < steps:
        raise ValueError(
            f"There are frames to continue from for {len(continue_from)} steps, not {steps}: sample both in as many."
        )
    _check_edit(noise, steps, mask, trajectory, structure, continue_from)
    condition = by_name(context)
    guided, followed = guidance_scale > 1, round(structure * steps)
    if negative_context is None and (guided or followed):
        raise ValueError(
            "Guidance and structure need a negative context: give the text embeddings of the empty prompt, or a "
            "guidance scale of 1 and a structure of 0."
        )
    if guided:
        condition = _negative_and_positive(by_name(negative_context), condition, len(noise))
    latents = noise if mask is None else _masked(noise, trajectory[steps], mask)
    reconstruction = latents if trajectory is None else trajectory[steps].to(latents)
    for step, (timestep, alpha, alpha_below) in enumerate(schedule.steps(steps), start=1):
        following = nullcontext()
        if step <= followed:
            with model.shared_attention.recording():
                prediction = model(reconstruction, timestep, **by_name(negative_context))
            reconstruction = schedule.ddim_step(reconstruction, prediction, alpha, alpha_below)
            if trajectory is not None:
                reconstruction = trajectory[steps - step].to(latents)
            following = model.shared_attention.following()
        seen = latents if continue_from is None else torch.cat([continue_from[step - 1], latents], dim=2)
        with following:
            if guided:
                negative, positive = model(torch.cat([seen] * 2), timestep, **condition).chunk(2)
                prediction = torch.lerp(negative, positive, guidance_scale)
            else:
                prediction = model(seen, timestep, **condition)
        prediction = prediction[:, :, -latents.shape[2] :]
        latents = schedule.ddim_step(latents, prediction, alpha, alpha_below)
        if mask is not None:
            latents = _masked(latents, trajectory[steps - step], mask)
        if on_step is not None and on_step(step, latents) is False:
            break
    return latents


def by_name(condition: Condition) -> dict[str, Any]:
    """Return a condition as the keyword arguments of the model."""
    return condition if isinstance(condition, dict) else {"context": condition}


def _extrapolated(predictions: list[Tensor]) -> Tensor:
    """Return the next prediction as the line through the last two gives it."""
    return predictions[-1] if len(predictions) == 1 else 2 * predictions[1] - predictions[0]


def _fixed_point(function: Callable[[Tensor], Tensor], guess: Tensor, calls: int) -> Tensor:
    """Iterate ``guess = function(guess)`` while the guess still moves, and moves less each time."""
    change = math.inf
    for _ in range(calls):
        result = function(guess)
        before, change = change, float((result - guess).norm() / result.norm())
        if change > before:
            break
        guess = result
        if change < CONVERGED:
            break
    return guess


def _masked(latents: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """Return ``latents`` where the mask is 1 and ``known`` where it is 0, both to the bit."""
    return torch.lerp(known.to(latents), latents, mask.to(latents))


def _check_edit(
    noise: Tensor,
    steps: int,
    mask: Tensor | None,
    trajectory: Sequence[Tensor] | None,
    structure: float,
    continue_from: list[Tensor] | None,
) -> None:
    if not 0 <= structure <= 1:
        raise ValueError(f"structure is {structure}, but must lie between 0 (off) and 1 (all steps).")
    if continue_from is not None and (mask is not None or structure):
        raise ValueError("Masks and structure need the whole video at once: sample it without continuing frames.")
    if mask is not None and trajectory is None:
        raise ValueError("A mask needs the trajectory of the inversion: keep it when inverting, and give both.")
    if trajectory is not None and len(trajectory) != steps + 1:
        raise ValueError(
            f"The trajectory has {len(trajectory) - 1} steps, and {steps} are sampled: use the same number for both."
        )
    if trajectory is not None and trajectory[0].shape != noise.shape:
        raise ValueError(
            f"The trajectory {list(trajectory[0].shape)} is not of these latents {list(noise.shape)}: invert and "
            "sample the same frames."
        )
    if mask is not None and (mask.ndim != 5 or any(m not in (1, n) for m, n in zip(mask.shape, noise.shape))):
        raise ValueError(f"A mask {list(mask.shape)} does not fit latents {list(noise.shape)}: use latent_mask.")


def _negative_and_positive(negative: dict[str, Any], positive: dict[str, Any], videos: int) -> dict[str, Any]:
    """Return the conditions of a batch of ``2 videos``, the negative ones first."""
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
    """Stack two tensors with one row per video, or one for all, as ``[2 videos, ...]``.

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

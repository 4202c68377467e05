"""Videos longer than the clip: longer inverted latents, and autoregressive sampling of one window after another."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..choices import EXTENSION_MODES
from ..network.windows import split_frames
from .ddim import Condition, Model, OnStep, ddim_sample
from .schedule import NoiseSchedule
from .settings import LongVideoSettings, SampleSettings


def extend(latents: Tensor, frames: int, mode: str = LongVideoSettings.extension, seed: int = 0) -> Tensor:
    """Return inverted latents that begin with those of a clip and go on to ``frames`` frames.

    Args:
        latents: inverted latents of the clip ``[b, c, f, h, w]``.
        frames: length of the result, at least f.
        mode: ``mirror`` plays the clip forward and back without a jump, ``loop`` from the beginning again, and
            ``noise`` draws new frames: the mean over the clip's frames, which they share, and around it independent
            noise with the standard deviation of the clip's frames from that mean.
        seed: of the new noise.

    Raises:
        ValueError: fewer frames than the clip has, or an unknown mode.
    """
    own = latents.shape[2]
    if frames < own:
        raise ValueError(f"The clip has {own} frames already, more than the {frames} asked for: ask for more.")
    if mode not in EXTENSION_MODES:
        raise ValueError(f"The extension mode {mode!r} is unknown: choose one of {', '.join(EXTENSION_MODES)}.")
    if mode == "noise":
        shared = latents.mean(dim=2, keepdim=True)
        deviation = (latents - shared).square().sum(dim=(2, 3, 4), keepdim=True)
        deviation = (deviation / (max(1, own - 1) * latents.shape[3] * latents.shape[4])).sqrt()
        shape = (*latents.shape[:2], frames - own, *latents.shape[3:])
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(latents)
        return torch.cat([latents, shared + deviation * drawn], dim=2)
    order = [*range(own), *range(own - 2, 0, -1)] if mode == "mirror" else range(own)
    return latents[:, :, [order[i % len(order)] for i in range(frames)]]


def ddim_sample_autoregressive(
    model: Model,
    schedule: NoiseSchedule,
    noise: Tensor,
    context: Condition,
    negative_context: Condition | None = None,
    steps: int = SampleSettings.steps,
    guidance_scale: float = SampleSettings.guidance_scale,
    on_step: OnStep | None = None,
    window: int = 16,
    overlap: int = LongVideoSettings.overlap,
) -> Iterator[Tensor]:
    """Sample a long video window by window, each through all steps and anchored on the frames before it.

    At every noise level, a window is denoised together with frame 0 and the last ``overlap`` frames before it as they
    were at that level. Only these are held, so the memory does not grow with the video.

    Args:
        noise: latents to start from ``[b, c, f, h, w]``, inverted, extended (:func:`extend`), or drawn.
        window: frames denoised at once, at most.
        overlap: frames before a window that it is anchored on, besides frame 0; at least 1.

    The other arguments are those of :func:`ddim_sample`; returning False from ``on_step`` ends the video there.

    Yields:
        Clean latents ``[b, c, n, h, w]`` of one window after the other.

    Raises:
        ValueError: a number is out of range, or what :func:`ddim_sample` raises.
    """
    if window < 1 or overlap < 1:
        raise ValueError(f"The window ({window}) and its overlap ({overlap}) take at least 1 frame.")
    earlier: list[Tensor] | None = None
    for frames in split_frames(noise.shape[2], window):
        levels = [noise[:, :, frames.start : frames.stop]]
        stopped = False

        def record(step: int, latents: Tensor, levels: list[Tensor] = levels) -> bool:
            nonlocal stopped
            levels.append(latents)
            stopped = on_step is not None and on_step(step, latents) is False
            return not stopped

        clean = ddim_sample(
            model, schedule, levels[0], context, negative_context, steps, guidance_scale, record, earlier
        )
        if stopped:
            return
        yield clean
        known = levels if earlier is None else [torch.cat(pair, dim=2) for pair in zip(earlier, levels)]
        earlier = [torch.cat([x[:, :, :1], x[:, :, 1:][:, :, -overlap:]], dim=2) for x in known]

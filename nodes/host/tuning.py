"""Tuning a MODEL with ComfyUI's memory manager, progress and interruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor

from ... import tav_core
from ...tav_core.network.projection import DOWN, UP, WEIGHT, Change, combined
from .comfy_model import (
    PREFIX,
    check_modules,
    check_timesteps,
    check_weights,
    fingerprint_of,
    latents_of,
    model_conds,
    plain_weights,
    schedule_of,
    vae_scale_factor,
)
from .inflation import Inflation, inflation_of, with_tuning
from .learner import learning
from .live import Run
from .previews import Previews, PreviewSampler
from .tuning_cache import CachedTuning, TuningCache, tuning_key

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

tunings = TuningCache()
"""The last tuning of every One-Shot Tune in the workflow, for more steps to continue from."""


@dataclass(frozen=True)
class TunedVideo:
    """Carried by the type TAV_TUNED: the tuned weights by published name, and the metadata of their file."""

    state: dict[str, Tensor]
    metadata: dict


def tune_model(
    model: ModelPatcher, latent: dict, positive: list, settings: tav_core.TuneSettings, run: Run, previews: Previews
) -> tuple[ModelPatcher, TunedVideo, list[float]]:
    """Tune an inflated MODEL on a clip, continuing from the last tuning of the same where there is one.

    Args:
        run: receives every step, and may end the tuning early.
        previews: clips to sample meanwhile; they do not change the result.

    Returns:
        The tuned MODEL, the :class:`TunedVideo`, and the loss of every step.

    Raises:
        ValueError: the MODEL is not inflated, or latents, VAE or settings do not fit it.
        TuningError: the loss became NaN or infinite, or the memory does not suffice.
    """
    inflation, latents = inflation_of(model), latents_of(model, latent)
    for check in (check_timesteps, check_weights, check_modules):
        check(model)
    previews.check(latents)
    with learning(model, inflation, latents.shape, settings) as learner:
        latents = latents.to(learner.model.load_device)
        conds = model_conds(learner.model, positive, latents)
        key = tuning_key(learner.model, inflation, latents, conds, settings)
        earlier = tunings.find(key, settings.steps)
        sampler = PreviewSampler(previews, learner, latents, conds, run)
        same_previews = earlier.previews if earlier and earlier.preview_key == sampler.key else []
        run.begin(earlier.state.losses if earlier else [], same_previews)
        result = tav_core.tune(
            learner.video_unet,
            schedule_of(model),
            latents,
            conds,
            settings,
            on_step=_on_step(settings, run, sampler),
            state=earlier.state if earlier else None,
        )
        sampler.finish(settings.steps)
        learned = {name: tensor.to("cpu") for name, tensor in learner.video_unet.tuned_state_dict().items()}
        kept = replace(result.state, weights={name: learned[name] for name in result.state.weights})  # not twice
        tunings.keep(run.workflow, run.node, CachedTuning(key, kept, run.previews, sampler.key))
    return _tuned(model, inflation, learner.video_unet, learned, settings, latents.shape, result.losses)


def _on_step(settings: tav_core.TuneSettings, run: Run, sampler: PreviewSampler) -> Callable[[int, float], bool]:
    """Return the callback of each step: Cancel, progress, a preview, "Stop and keep"."""
    progress = comfy.utils.ProgressBar(settings.steps)

    def on_step(step: int, loss: float) -> bool:
        comfy.model_management.throw_exception_if_processing_interrupted()
        run.step(loss, settings.learning_rate_at(step - 1))
        progress.update_absolute(step)
        sampler.follow(step, settings.steps)
        return not run.stopping

    return on_step


def _tuned(
    model: ModelPatcher,
    inflation: Inflation,
    video_unet: tav_core.VideoUNet,
    learned: dict[str, Tensor],
    settings: tav_core.TuneSettings,
    shape: tuple[int, ...],
    losses: list[float],
) -> tuple[ModelPatcher, TunedVideo, list[float]]:
    """Return :func:`tune_model`'s result for weights learned on latents of ``shape`` [b, c, f, h, w].

    MODEL gets the changes of this tuning. The file gets those of all tunings, as factors or added to the checkpoint's
    own weights, without a LoRA that was on them meanwhile.
    """
    changes: dict[str, Change] = {}
    state = {name: tensor for name, tensor in learned.items() if "_temp." in name}
    for name, (own_name, change) in video_unet.projection_changes().items():
        key = f"{PREFIX}{own_name}"
        changes[key] = change
        in_all = combined(inflation.changes.get(key), change, 1.0)
        if isinstance(in_all, Tensor):
            state[f"{name}.{WEIGHT}"] = plain_weights(model, [key])[key].to("cpu", torch.float32) + in_all
        else:
            state[f"{name}.{DOWN}"], state[f"{name}.{UP}"] = in_all
    factor, (_, _, frames, height, width) = vae_scale_factor(model), shape
    metadata = tav_core.tuned_metadata(
        video_unet,
        fingerprint_of(model),
        frames=frames,
        width=width * factor,
        height=height * factor,
        steps=len(losses),
        learning_rate=settings.learning_rate,
    )
    tuned = with_tuning(model, inflation, changes, 1.0, video_unet.temporal)
    return tuned, TunedVideo(state, metadata), losses

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
from .tuning_cache import CachedTuning, TuningCache, tuning_basis

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

tunings = TuningCache()
"""The last tuning of every One-Shot Tune, for more steps to continue from."""


@dataclass(frozen=True)
class TunedVideo:
    """Hold what the type TAV_TUNED carries: the tuned weights by published name, and the metadata of their file."""

    state: dict[str, Tensor]
    metadata: dict


def tune_model(
    model: ModelPatcher, latent: dict, positive: list, settings: tav_core.TuneSettings, run: Run, previews: Previews
) -> tuple[ModelPatcher, TunedVideo, tav_core.TuneResult]:
    """Tune an inflated MODEL on a clip, continuing from the last tuning of the same where there is one.

    Args:
        run: receives every step, and may end the tuning early.
        previews: clips to sample meanwhile; they do not change the result.

    Returns:
        The tuned MODEL, the :class:`TunedVideo`, and the result with the losses.

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
        basis = tuning_basis(learner.model, inflation, latents, conds, settings)
        earlier = tunings.find(basis, settings.steps)
        note = "" if earlier else tunings.reason_to_start_over(run.workflow, run.node, basis)
        sampler = PreviewSampler(previews, learner, latents, conds, run)
        same_previews = earlier.previews if earlier and earlier.preview_key == sampler.key else []
        run.begin(earlier.state if earlier else None, same_previews, note)
        result = tav_core.tune(
            learner.video_unet,
            schedule_of(model),
            latents,
            conds,
            settings,
            on_step=_on_step(settings, run, sampler),
            state=earlier.state if earlier else None,
            on_validation=_on_validation(settings, run, sampler),
        )
        sampler.finish(settings.steps)
        learned = {name: tensor.to("cpu") for name, tensor in learner.video_unet.tuned_state_dict().items()}
        kept = replace(result.state, weights={name: learned[name] for name in result.state.weights})  # not twice
        tunings.keep(run.workflow, run.node, CachedTuning(basis, kept, run.previews, sampler.key))
    tuned = _tuned(model, inflation, learner.video_unet, learned, settings, latents.shape, len(result.losses))
    return *tuned, result


def _on_validation(settings: tav_core.TuneSettings, run: Run, sampler: PreviewSampler) -> Callable[[int, float], None]:
    """Return the callback of each validation; the first is before the first step, with the first preview."""

    def on_validation(step: int, loss: float) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        run.validated(step, loss)
        if step == 0:
            sampler.follow(0, settings.steps)

    return on_validation


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
    steps: int,
) -> tuple[ModelPatcher, TunedVideo]:
    """Return the tuned MODEL, and its file, for weights learned on latents of ``shape`` [b, c, f, h, w].

    MODEL gets the changes of this tuning. The file gets those of all tunings, as factors or added to the checkpoint's
    own weights, without a LoRA that was on them meanwhile.
    """
    changes: dict[str, Change] = {}
    state = {name: tensor for name, tensor in learned.items() if "_temp." in name}
    for name, (own_name, change) in video_unet.tuned.projection_changes().items():
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
        steps=steps,
        learning_rate=settings.learning_rate,
    )
    tuned = with_tuning(model, inflation, changes, 1.0, video_unet.temporal)
    return tuned, TunedVideo(state, metadata)

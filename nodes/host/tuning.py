"""Tuning a MODEL with ComfyUI's memory manager, progress and interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import torch
from torch import Tensor, nn

from ... import tav_core
from ...tav_core.network.casting import PRECISIONS
from ...tav_core.network.projection import DOWN, UP, WEIGHT, Change, combined
from ...tav_core.network.structure import find_blocks
from . import kept
from .live import Run
from .models import (
    PREFIX,
    Inflation,
    check_weights,
    compute_dtype_of,
    fingerprint_of,
    inflation_of,
    latents_of,
    model_conds,
    pixels_per_latent,
    plain_weights,
    schedule_of,
    with_tuning,
)
from .previews import Previews, PreviewSampler

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


@dataclass(frozen=True)
class TunedVideo:
    """What the type TAV_TUNED carries: learned weights by published name, and what to know of them."""

    state: dict[str, Tensor]
    metadata: dict


def tune_model(
    model: ModelPatcher,
    latent: dict,
    positive: list,
    settings: tav_core.TuneSettings,
    run: Run,
    previews: Previews | None = None,
) -> tuple[ModelPatcher, TunedVideo, list[float]]:
    """Tune an inflated MODEL on a clip, as far as it has not been tuned already: see :mod:`.kept`.

    Args:
        run: is told of every step, and may end the tuning early.
        previews: clips to sample meanwhile; they change nothing of what is learned.

    Returns:
        The tuned MODEL, the :class:`TunedVideo`, and the loss of every step.

    Raises:
        ValueError: the MODEL is not inflated, or latents, VAE or settings do not fit it.
        TuningError: the loss is not a number any more, or the memory does not suffice.
    """
    inflation, schedule, latents = inflation_of(model), schedule_of(model), latents_of(model, latent)
    previews = previews or Previews()
    previews.check(latents)
    _check_timesteps(model)
    check_weights(model)
    _check_modules(model)
    learner = _trainable_clone(model)
    reload = partial(_load, learner, _memory_to_tune(learner, inflation, latents.shape, settings))
    unet, latents = reload(), latents.to(learner.load_device)
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)  # and not those of the devices, which stay reseeded
        conds = model_conds(learner, positive, latents)
        key = kept.tuning_key(learner, inflation, latents, conds, settings)
        known = kept.find(key, settings.steps)
        temporal = inflation.temporal_attention if inflation.temporal is None else deepcopy(inflation.temporal).float()
        with inflation.video_unet(unet, temporal, settings.rank).attached(latents.shape[2]) as video_unet:
            video_unet.compute_dtype = compute_dtype_of(learner)
            sampler = PreviewSampler(previews, learner, video_unet, schedule, latents, conds, run, reload)
            same_previews = known.previews if known and known.preview_key == sampler.key else []
            run.begin(known.state.losses if known else [], same_previews)
            with _exact_sums():
                result = tav_core.tune(
                    video_unet,
                    schedule,
                    latents,
                    conds,
                    settings,
                    on_step=_on_step(settings, run, sampler),
                    state=known.state if known else None,
                )
            sampler.finish(settings.steps)
            learned = {name: tensor.to("cpu") for name, tensor in video_unet.tuned_state_dict().items()}
    weights = {name: learned[name] for name in result.state.weights}  # those of the state would be copies
    tuning = kept.KeptTuning(key, replace(result.state, weights=weights), run.previews, sampler.key)
    kept.keep(run.workflow, run.node, tuning)
    changes, state = _changes_and_state(model, inflation, video_unet, learned)
    metadata = _metadata(model, video_unet, latents.shape, len(result.losses), settings)
    tuned = with_tuning(model, inflation, changes, 1.0, video_unet.temporal)
    return tuned, TunedVideo(state, metadata), result.losses


def _changes_and_state(
    model: ModelPatcher, inflation: Inflation, video_unet: tav_core.VideoUNet, learned: dict[str, Tensor]
) -> tuple[dict[str, Change], dict[str, Tensor]]:
    """Return the changes of MODEL's projections by ComfyUI's keys, and the state to save.

    The state holds the changes of this tuning and of earlier ones, as factors or added to the checkpoint's own weights:
    a LoRA that was on them meanwhile is no part of the motion.
    """
    changes, state = {}, {name: tensor for name, tensor in learned.items() if "_temp." in name}
    for name, (own_name, change) in video_unet.projection_changes().items():
        key = f"{PREFIX}{own_name}"
        changes[key] = change
        in_all = combined(inflation.changes.get(key), change, 1.0)
        if isinstance(in_all, Tensor):
            state[f"{name}.{WEIGHT}"] = plain_weights(model, [key])[key].to("cpu", torch.float32) + in_all
        else:
            state[f"{name}.{DOWN}"], state[f"{name}.{UP}"] = in_all
    return changes, state


def _metadata(
    model: ModelPatcher,
    video_unet: tav_core.VideoUNet,
    shape: tuple[int, ...],
    steps: int,
    settings: tav_core.TuneSettings,
) -> dict:
    """What a tuned file says of itself, but for the prompt and the frame rate, which the node knows."""
    pixels, (_, _, frames, height, width) = pixels_per_latent(model), shape
    return tav_core.tuned_metadata(
        video_unet,
        fingerprint_of(model),
        frames=frames,
        width=width * pixels,
        height=height * pixels,
        steps=steps,
        learning_rate=settings.learning_rate,
    )


def _check_timesteps(model: ModelPatcher) -> None:
    sampling = model.get_model_object("model_sampling")
    if len(sampling.sigmas) != sampling.num_timesteps:
        raise ValueError(
            "This MODEL samples with a few of its timesteps (LCM), and learning takes all: put the node that does that "
            "after One-Shot Tune."
        )


def _check_modules(model: ModelPatcher) -> None:
    if any(model.injections.values()):
        raise ValueError(
            "This MODEL carries modules of another pack (AnimateDiff), which cannot be tuned with: put the node that "
            "adds them after One-Shot Tune."
        )


def _memory_to_tune(
    learner: ModelPatcher, inflation: Inflation, shape: tuple[int, ...], settings: tav_core.TuneSettings
) -> float:
    """Bytes that tuning on latents of ``shape`` [b, c, f, h, w] takes besides the network's own weights.

    Activations are a multiple of what ComfyUI reckons for sampling the frames (by the counts of bench/gpu_memory.py,
    1.5 of it with gradient checkpointing and 10.5 without). A learned weight comes with its gradient and two moments of
    the optimizer, 16 bytes; of each block, two projections are tuned and four of the temporal attention, whole or in
    factors of the rank.
    """
    b, c, f, h, w = shape
    activations = learner.memory_required([b * f, c, h, w]) * (1.6 if settings.gradient_checkpointing else 11)
    if settings.precision != "auto":
        reckoned = compute_dtype_of(learner) or learner.model.get_dtype()
        activations *= PRECISIONS[settings.precision].itemsize / reckoned.itemsize
    widths = [block.module.attn1.to_q.in_features for block in find_blocks(learner.model.diffusion_model)]
    projections = 6 if inflation.temporal_attention else 2
    weights = sum(width * min(width, 2 * settings.rank or width) for width in widths) * projections
    return activations + weights * 16


@contextmanager
def _exact_sums() -> Iterator[None]:
    """Sums in float32 within matrix products, as gradients need them: ComfyUI's --fast makes do with 16 bit."""
    products = torch.backends.cuda.matmul
    chosen = getattr(products, "allow_fp16_accumulation", False)  # torch has known it since 2.7
    if chosen:
        products.allow_fp16_accumulation = False
    try:
        yield
    finally:
        if chosen:
            products.allow_fp16_accumulation = True


def _load(learner: ModelPatcher, memory: float) -> nn.Module:
    """The network of MODEL, whole on its device, with ``memory`` more bytes free there."""
    comfy.model_management.load_models_gpu([learner], memory_required=memory, force_full_load=True)
    return learner.model.diffusion_model.to(learner.load_device)


def _on_step(settings: tav_core.TuneSettings, run: Run, sampler: PreviewSampler) -> Callable[[int, float], bool]:
    """What follows each step: progress, Cancel, a preview, "Stop and keep"."""
    progress = comfy.utils.ProgressBar(settings.steps)

    def on_step(step: int, loss: float) -> bool:
        comfy.model_management.throw_exception_if_processing_interrupted()
        run.step(loss, settings.learning_rate_at(step - 1))
        progress.update_absolute(step)
        sampler.follow(step, settings.steps)
        return not run.stopping

    return on_step


def _trainable_clone(model: ModelPatcher) -> ModelPatcher:
    """MODEL with weights that stay where they are: ComfyUI's dynamic ones come and go during a backward pass."""
    if not getattr(model, "is_dynamic", bool)():
        return model
    try:
        clone = model.clone(disable_dynamic=True)
    except RuntimeError as error:
        raise ValueError(
            "This MODEL's loader keeps its weights in dynamic memory, where they cannot be tuned: load the checkpoint "
            "with Load Checkpoint, or start ComfyUI with --disable-dynamic-vram."
        ) from error
    _cast_as_chosen(clone.model.diffusion_model)
    return clone


def _cast_as_chosen(network: nn.Module) -> None:
    """Weights in the precision that ComfyUI chose for them: where it has dynamic memory, it reads those of linear
    layers as they are in the file, and casts when they are used."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            chosen = getattr(module, f"{name}_comfy_model_dtype", parameter.dtype)
            if parameter.dtype != chosen:
                setattr(module, name, nn.Parameter(parameter.detach().to(chosen), requires_grad=False))

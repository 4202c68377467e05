"""Tuning a MODEL with ComfyUI's memory manager, progress and interruption."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.model_management
import comfy.sampler_helpers
import comfy.samplers
import comfy.utils
import torch
from einops import rearrange
from server import PromptServer
from torch import Tensor

from ... import tav_core
from .models import compute_dtype_of, fingerprint_of, inflation_of, latents_of, schedule_of, with_tuning


@dataclass(frozen=True)
class TunedVideo:
    """What the type TAV_TUNED carries: learned weights by published name, and what to know of them."""

    state: dict[str, Tensor]
    metadata: dict


def tune_model(model, latent: dict, positive: list, settings: tav_core.TuneSettings, node_id: str):
    """Tune an inflated MODEL on a clip, with progress on the node ``node_id``.

    Returns:
        The tuned MODEL, the :class:`TunedVideo`, and the loss of every step.

    Raises:
        ValueError: the MODEL is not inflated, or latents or settings do not fit it.
        TuningError: the loss is not a number any more, or the memory does not suffice.
    """
    inflation, schedule, latents = inflation_of(model), schedule_of(model), latents_of(model, latent)
    learner = _trainable_clone(model)
    b, c, f, h, w = latents.shape
    memory = 3 * learner.memory_required([2 * b * f, c, h, w]) + (2 << 30)
    comfy.model_management.load_models_gpu([learner], memory_required=memory, force_full_load=True)
    unet, device = learner.model.diffusion_model.to(learner.load_device), learner.load_device
    progress = comfy.utils.ProgressBar(settings.steps)

    def on_step(step: int, loss: float) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        progress.update_absolute(step)
        PromptServer.instance.send_progress_text(f"step {step} of {settings.steps}, loss {loss:.4f}", node_id)

    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        conds = _model_conds(learner, positive, latents.to(device))
        with inflation.video_unet(unet, inflation.temporal_attention).attached(f) as video_unet:
            video_unet.compute_dtype = compute_dtype_of(learner)
            if inflation.temporal is not None:
                video_unet.temporal.load_state_dict(inflation.temporal.state_dict())
            result = tav_core.tune(
                video_unet, schedule, latents.to(device), settings=settings, on_step=on_step, **conds
            )
            state = {name: tensor.to("cpu", copy=True) for name, tensor in video_unet.tuned_state_dict().items()}
    deltas = {
        f"diffusion_model.{own_name}": state[name] - weight.to("cpu", torch.float32)
        for name, (own_name, weight) in video_unet.query_weights().items()
    }
    tuned = with_tuning(model, inflation, deltas, 1.0, video_unet.temporal)
    metadata = tav_core.tuned_metadata(
        video_unet,
        fingerprint_of(model),
        frames=f,
        width=w * 8,
        height=h * 8,
        steps=len(result.losses),
        learning_rate=settings.learning_rate,
    )
    return tuned, TunedVideo(state, metadata), result.losses


def _model_conds(model, positive: list, latents: Tensor) -> dict[str, Tensor]:
    """CONDITIONING as the inputs of the U-Net, by the names of the core."""
    conds = comfy.sampler_helpers.convert_cond(positive)
    noise = rearrange(latents, "1 c f h w -> f c h w")
    conds = comfy.samplers.encode_model_conds(model.model.extra_conds, conds, noise, latents.device, "positive")
    inputs = {name: cond.cond.to(latents.device) for name, cond in conds[0]["model_conds"].items()}
    return {"context": inputs["c_crossattn"]} | ({"y": inputs["y"]} if "y" in inputs else {})


def _trainable_clone(model):
    """MODEL with weights that stay where they are: ComfyUI's dynamic ones come and go during a backward pass."""
    if not getattr(model, "is_dynamic", bool)():
        return model
    try:
        return model.clone(disable_dynamic=True)
    except RuntimeError as error:
        raise ValueError(
            "This MODEL's loader keeps its weights in dynamic memory, where they cannot be tuned: load the checkpoint "
            "with Load Checkpoint, or start ComfyUI with --disable-dynamic-vram."
        ) from error

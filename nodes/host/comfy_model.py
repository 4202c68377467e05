"""Questions to a ComfyUI MODEL: its weights, noise schedule, latents and conditioning, in the core's terms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import comfy.model_sampling
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher, get_key_weight
from einops import rearrange
from torch import Tensor

from ... import tav_core
from ...tav_core.network.projection import plain
from ...tav_core.network.structure import find_blocks

if TYPE_CHECKING:
    from comfy.sd import CLIP

PREFIX = "diffusion_model."
"""ComfyUI's keys of the U-Net's weights begin with it."""
_UNSUPPORTED_CONDS = {"area", "mask", "start_percent", "end_percent", "control", "gligen", "hooks"}
"""CONDITIONING entries that tuning cannot use: limited to an area or to some steps, or more than text."""


def check_weights(model: ModelPatcher) -> None:
    """Raise ValueError when the U-Net's weights are quantized in a way that can neither be tuned nor patched."""
    projection = find_blocks(model.model.diffusion_model)[0].module.attn1.to_q
    if getattr(projection, "scale_weight", None) is not None:  # in ComfyUI 0.3.64; later the weight holds its scale
        raise ValueError(
            "The weights of this MODEL are scaled fp8, which can be tuned in a newer ComfyUI only: update it, or load "
            "the checkpoint in 16 bit."
        )
    if not projection.weight.is_floating_point():
        raise ValueError(
            "The weights of this MODEL are quantized, and can neither be tuned nor take a tuned motion: load the "
            "checkpoint itself, or a GGUF file of F16."
        )


def check_timesteps(model: ModelPatcher) -> None:
    """Raise ValueError when MODEL samples only some of its timesteps (LCM), since tuning uses all."""
    sampling = model.get_model_object("model_sampling")
    if len(sampling.sigmas) != sampling.num_timesteps:
        raise ValueError(
            "This MODEL samples with a few of its timesteps (LCM), but tuning needs all of them: put the node that "
            "changes the sampling after One-Shot Tune."
        )


def check_modules(model: ModelPatcher) -> None:
    """Raise ValueError when another pack has injected modules of its own (AnimateDiff)."""
    if any(model.injections.values()):
        raise ValueError(
            "This MODEL carries modules of another pack (AnimateDiff), which cannot be tuned with: put the node that "
            "adds them after One-Shot Tune."
        )


def plain_weights(model: ModelPatcher, keys: Iterable[str]) -> dict[str, Tensor]:
    """Return the checkpoint's own weights of these keys, without a LoRA or any other patch that is on MODEL."""
    # as ModelPatcher.get_key_patches does, which fails at AnimateDiff's modules and at the scales of quantized weights
    weights = {}
    for key in keys:
        weight, _, convert = get_key_weight(model.model, key)
        if key in model.hook_backup:
            weight = model.hook_backup[key][0]
        elif key in model.backup:
            weight = model.backup[key].weight
        weights[key] = plain(weight if convert is None else convert(weight, inplace=False))
    return weights


def fingerprint_of(model: ModelPatcher) -> str:
    """Return the fingerprint of the checkpoint behind MODEL, without its LoRAs."""
    network = model.model.diffusion_model
    names = [name for name, _ in network.named_parameters() if name.endswith(".attn1.to_k.weight")]
    plain = plain_weights(model, [PREFIX + name for name in names])
    return tav_core.fingerprint(network, {name: plain[PREFIX + name] for name in names})


def latents_of(model: ModelPatcher, latent: dict) -> Tensor:
    """Return a LATENT as clean latents ``[1, c, f, h, w]``, scaled as the U-Net expects them.

    Raises:
        ValueError: the LATENT is of another kind of VAE, or of a video model.
    """
    samples, channels = latent["samples"], model.model.latent_format.latent_channels
    if samples.ndim != 4 or samples.shape[1] != channels:
        raise ValueError(
            f"These latents have the shape {list(samples.shape)}, this MODEL needs [frames, {channels}, height, "
            "width]: encode the frames with VAE Encode and the same checkpoint's VAE."
        )
    return rearrange(model.model.process_latent_in(samples.float()), "f c h w -> 1 c f h w")


def model_conds(model: ModelPatcher, positive: list, latents: Tensor) -> dict[str, Tensor]:
    """Return CONDITIONING as the U-Net's inputs for latents ``[1, c, f, h, w]``, under the core's names.

    Raises:
        ValueError: it holds several prompts, one for a part of the picture or of the steps, or more than text.
    """
    if len(positive) != 1 or _UNSUPPORTED_CONDS & positive[0][1].keys():
        raise ValueError(
            "One-Shot Tune learns, and previews, with one prompt for the whole picture and all steps: connect CLIP "
            "Text Encode, without combined prompts, areas, masks, timestep ranges, ControlNet or hooks."
        )
    conds = comfy.sampler_helpers.convert_cond(positive)
    noise = rearrange(latents, "1 c f h w -> f c h w")
    conds = comfy.samplers.encode_model_conds(model.model.extra_conds, conds, noise, latents.device, "positive")
    inputs = {name: cond.cond.to(latents.device) for name, cond in conds[0]["model_conds"].items()}
    return {"context": inputs["c_crossattn"]} | ({"y": inputs["y"]} if "y" in inputs else {})


def encode_prompt(clip: CLIP, prompt: str) -> list:
    """Return a prompt as CONDITIONING, as CLIP Text Encode does."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(prompt))


def schedule_of(model: ModelPatcher, spacing: str = "auto") -> tav_core.NoiseSchedule:
    """Return the noise schedule of MODEL.

    Args:
        spacing: of the timesteps, see :class:`.SampleSettings`; auto is trailing for zero terminal SNR, else leading.

    Raises:
        ValueError: it predicts neither noise nor velocity over discrete timesteps.
    """
    sampling = model.get_model_object("model_sampling")
    kinds = comfy.model_sampling
    discrete = isinstance(sampling, kinds.ModelSamplingDiscrete) and isinstance(sampling, kinds.EPS)
    if not discrete or isinstance(sampling, (kinds.EDM, kinds.X0)):
        raise ValueError(
            "This MODEL does not sample as Stable Diffusion does: use a checkpoint of the SD 1.x, SD 2.x or SDXL "
            "family, and put nodes that change its sampling after this one."
        )
    velocity = isinstance(sampling, kinds.V_PREDICTION)
    alphas = 1 / (sampling.sigmas**2 + 1)
    if spacing == "auto":  # ComfyUI's zero terminal SNR ends at an alpha of 5e-8, Stable Diffusion's own at 5e-3
        spacing = "trailing" if alphas[-1] < 1e-6 else "leading"
    return tav_core.NoiseSchedule(alphas, "v_prediction" if velocity else "epsilon", spacing=spacing)


def vae_scale_factor(model: ModelPatcher) -> int:
    """Return how many pixels wide and high one latent is."""
    return getattr(model.model.latent_format, "spacial_downscale_ratio", 8)  # ComfyUI 0.3.64 does not have it


def compute_dtype_of(model: ModelPatcher) -> torch.dtype | None:
    """Return the dtype that ComfyUI casts the weights to for computing; None if it computes in their own."""
    return model.model.manual_cast_dtype

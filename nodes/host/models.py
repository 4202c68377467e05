"""A MODEL that renders video: inflated, or tuned, and what the other files of this room ask of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.ldm.modules import attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy.weight_adapter import LoRAAdapter
from einops import rearrange
from torch import Tensor, nn

from ... import tav_core
from ...tav_core.network.projection import DOWN, UP, WEIGHT, Change, combined
from ...tav_core.network.structure import find_blocks
from .folders import KEY

PREFIX = "diffusion_model."
"""What ComfyUI's keys of the network's weights begin with."""
_NOT_LEARNED_WITH = {"area", "mask", "start_percent", "end_percent", "control", "gligen", "hooks"}
"""What a CONDITIONING holds that does not count everywhere, or is more than words."""


@dataclass(frozen=True)
class Inflation:
    """What makes a MODEL a video model; ComfyUI calls it around every call of the U-Net.

    The overrides are on the network during that call only, so every other branch of a graph finds it untouched.
    """

    attention: str
    temporal_attention: bool
    joint_norm: bool
    temporal: nn.ModuleList | None = None
    """The tuned temporal attention; before tuning it would add nothing, so there is none."""
    changes: Mapping[str, Change] = field(default_factory=dict, compare=False)
    """What tuning changed of the projections, by ComfyUI's keys; they are patches of the MODEL."""
    known: dict[nn.Module, tav_core.VideoUNet] = field(default_factory=dict, init=False, compare=False, repr=False)
    """By the network that was called, what to put on it."""

    def video_unet(
        self, unet: nn.Module, temporal: bool | nn.ModuleList | None = None, rank: int = 0
    ) -> tav_core.VideoUNet:
        """``unet`` as a video U-Net, not attached yet."""
        kernel = "xformers" if comfy.model_management.xformers_enabled() else "sdpa"
        temporal = temporal or self.temporal or False
        return tav_core.VideoUNet(unet, self.attention, temporal, self.joint_norm, kernel, rank=rank)

    @torch.compiler.disable  # TorchCompileModel would trace the overrides, which are new ones in every call
    def __call__(
        self,
        executor: WrapperExecutor,
        x: Tensor,
        timesteps: Tensor | None = None,
        context: Tensor | None = None,
        y: Tensor | None = None,
        control: dict | None = None,
        transformer_options: dict | None = None,
        **kw: Any,
    ) -> Tensor:
        if self.temporal is not None:
            self.temporal.to(x.device)  # a model that is loaded in part only streams ComfyUI's own layers
        network = executor.class_obj
        video_unet = self.known[network] = self.known.get(network) or self.video_unet(network)
        kernel = _host_kernel(video_unet, transformer_options)
        with video_unet.attached(_frames(x, transformer_options), kernel):
            return executor(x, timesteps, context, y, control, transformer_options, **kw)


def _frames(x: Tensor, transformer_options: dict) -> int:
    """Frames per video in a batch: one for each latent that the sampler gave a sigma, where several tiles of the
    pictures are in it (Tiled Diffusion)."""
    frames, sigmas = x.shape[0] // len(transformer_options["cond_or_uncond"]), transformer_options.get("sigmas")
    of_sampler = 1 if sigmas is None else sigmas.numel()
    return of_sampler if of_sampler > 1 and frames % of_sampler == 0 else frames


def _host_kernel(video_unet: tav_core.VideoUNet, transformer_options: dict) -> Callable[..., Tensor]:
    """The attention that the person started ComfyUI with, or that another node put in its place for this MODEL."""
    precision = video_unet.blocks[0].module.attn1.attn_precision

    def kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attention.optimized_attention(
            query,
            key,
            value,
            query.shape[1],
            attn_precision=precision,
            skip_reshape=True,
            skip_output_reshape=True,
            transformer_options=transformer_options,
        )

    return kernel


def inflate_model(model: ModelPatcher, attention: str, temporal_attention: bool, joint_norm: bool) -> ModelPatcher:
    """A clone of MODEL that renders a batch of latents as one video.

    Raises:
        ValueError: it is inflated already, or no Stable Diffusion U-Net.
    """
    if model.get_attachment(KEY) is not None:
        raise ValueError("This MODEL is inflated already: connect the checkpoint's MODEL, or leave this node out.")
    inflation = Inflation(attention, temporal_attention, joint_norm)
    inflation.video_unet(model.model.diffusion_model)
    schedule_of(model)
    return with_inflation(model.clone(), inflation)


def apply_tuned(model: ModelPatcher, state: dict[str, Tensor], metadata: dict, strength: float) -> ModelPatcher:
    """A clone of MODEL with a saved motion; one that is not inflated is inflated as it was for the tuning.

    Raises:
        ValueError: the weights do not fit the MODEL or cannot be changed, or the strength is out of range.
    """
    check_weights(model)
    temporal = any(".attn_temp." in name for name in state)
    if getattr(model.get_attachment(KEY), "changes", None):
        raise ValueError("This MODEL is tuned already: connect the checkpoint's MODEL or that of Inflate UNet.")
    inflation = model.get_attachment(KEY) or Inflation(
        metadata.get("attention", "sparse_causal"), temporal, metadata.get("joint_norm", True)
    )
    video_unet = inflation.video_unet(model.model.diffusion_model, inflation.temporal_attention)
    video_unet.load_tuned_state_dict(state, strength)
    changes = {}
    for name, (own_name, _) in video_unet.projection_changes().items():
        key = f"{PREFIX}{own_name}"
        if f"{name}.{UP}" in state:
            changes[key] = state[f"{name}.{DOWN}"].float(), state[f"{name}.{UP}"].float()
        else:  # the network may hold weights that a LoRA is merged into
            changes[key] = state[f"{name}.{WEIGHT}"].float() - plain_weights(model, [key])[key].to("cpu", torch.float32)
    return with_tuning(model, inflation, changes, strength, video_unet.temporal)


def check_weights(model: ModelPatcher) -> None:
    """Raise ValueError where the network's weights are packed bytes, which nothing can be learned of or added to."""
    weight = find_blocks(model.model.diffusion_model)[0].module.attn1.to_q.weight
    if not weight.is_floating_point():
        raise ValueError(
            "The weights of this MODEL are quantized, and can neither be tuned nor take a tuned motion: load the "
            "checkpoint itself, or a GGUF file of F16."
        )


def plain_weights(model: ModelPatcher, keys: Iterable[str]) -> dict[str, Tensor]:
    """The checkpoint's own weights of these keys, without a LoRA or any other patch that is on MODEL."""
    # asked one by one, as it fails at other keys where another pack's modules are in the network (AnimateDiff)
    return {
        key: convert(weight, inplace=False) for key in keys for weight, convert in model.get_key_patches(key)[key][:1]
    }


def fingerprint_of(model: ModelPatcher) -> str:
    """The fingerprint of the checkpoint behind MODEL, whatever LoRAs are on it."""
    network = model.model.diffusion_model
    names = [name for name, _ in network.named_parameters() if name.endswith(".attn1.to_k.weight")]
    plain = plain_weights(model, [PREFIX + name for name in names])
    return tav_core.fingerprint(network, {name: plain[PREFIX + name] for name in names})


def other_base(model: ModelPatcher, metadata: dict) -> str:
    """A sentence for the person when the saved motion was tuned on another checkpoint than MODEL's; else empty."""
    base = metadata.get("base_fingerprint")
    if not base or base == fingerprint_of(model):
        return ""
    sentence = "This motion was tuned on another checkpoint: expect a weaker result."
    logging.warning("Tune-A-Video: %s", sentence)
    return sentence


def inflation_of(model: ModelPatcher) -> Inflation:
    inflation = model.get_attachment(KEY)
    if inflation is None:
        raise ValueError("This MODEL is not inflated: put Inflate UNet between the checkpoint and this node.")
    return inflation


def latents_of(model: ModelPatcher, latent: dict) -> Tensor:
    """A LATENT as clean latents ``[1, c, f, h, w]`` in the model's own scale."""
    samples, channels = latent["samples"], model.model.latent_format.latent_channels
    if samples.ndim != 4 or samples.shape[1] != channels:
        raise ValueError(
            f"These latents have the shape {list(samples.shape)}, this MODEL needs [frames, {channels}, height, "
            "width]: encode the frames with VAE Encode and the same checkpoint's VAE."
        )
    return rearrange(model.model.process_latent_in(samples.float()), "f c h w -> 1 c f h w")


def model_conds(model: ModelPatcher, positive: list, latents: Tensor) -> dict[str, Tensor]:
    """CONDITIONING as the inputs of MODEL's network for latents ``[1, c, f, h, w]``, by the names of the core.

    Raises:
        ValueError: it holds several prompts, one for a part of the picture or of the steps, or more than words.
    """
    if len(positive) != 1 or _NOT_LEARNED_WITH & positive[0][1].keys():
        raise ValueError(
            "One-Shot Tune learns, and previews, with one prompt for the whole picture and all steps: connect CLIP "
            "Text Encode, without combined prompts, areas, masks, timestep ranges, ControlNet or hooks."
        )
    conds = comfy.sampler_helpers.convert_cond(positive)
    noise = rearrange(latents, "1 c f h w -> f c h w")
    conds = comfy.samplers.encode_model_conds(model.model.extra_conds, conds, noise, latents.device, "positive")
    inputs = {name: cond.cond.to(latents.device) for name, cond in conds[0]["model_conds"].items()}
    return {"context": inputs["c_crossattn"]} | ({"y": inputs["y"]} if "y" in inputs else {})


def schedule_of(model: ModelPatcher) -> tav_core.NoiseSchedule:
    """The noise schedule of MODEL.

    Raises:
        ValueError: it predicts neither noise nor velocity over discrete timesteps.
    """
    sampling = model.get_model_object("model_sampling")
    kinds = comfy.model_sampling
    fits = isinstance(sampling, kinds.ModelSamplingDiscrete) and isinstance(sampling, kinds.EPS)
    if not fits or isinstance(sampling, (kinds.EDM, getattr(kinds, "X0", kinds.EDM))):
        raise ValueError(
            "This MODEL does not sample as Stable Diffusion does: use a checkpoint of the SD 1.x, SD 2.x or SDXL "
            "family, and put nodes that change its sampling after this one."
        )
    velocity = isinstance(sampling, kinds.V_PREDICTION)
    return tav_core.NoiseSchedule(1 / (sampling.sigmas**2 + 1), "v_prediction" if velocity else "epsilon")


def pixels_per_latent(model: ModelPatcher) -> int:
    """How many pixels wide and high a latent is."""
    return getattr(model.model.latent_format, "spacial_downscale_ratio", 8)


def compute_dtype_of(model: ModelPatcher) -> torch.dtype | None:
    """What ComfyUI computes in where that is not what the weights are stored in."""
    return model.model.manual_cast_dtype


def with_inflation(model: ModelPatcher, inflation: Inflation) -> ModelPatcher:
    """``model`` with that inflation in place of any other; the memory manager looks after its temporal attention."""
    model.set_attachments(KEY, inflation)
    model.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, KEY)
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, inflation)
    if inflation.temporal is not None:
        patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        model.set_additional_models(KEY, [patcher(inflation.temporal, model.load_device, model.offload_device)])
    return model


def with_tuning(
    model: ModelPatcher,
    inflation: Inflation,
    changes: dict[str, Change],
    strength: float,
    temporal: nn.ModuleList | None,
) -> ModelPatcher:
    """A clone of ``model`` that has learned: weight patches as a LoRA's, and the temporal attention."""
    tuned = model.clone()
    tuned.add_patches({key: _patch(change) for key, change in changes.items()}, strength)
    if temporal is not None:
        temporal = temporal.to(model.offload_device, compute_dtype_of(model) or model.model.get_dtype())
    in_all = {key: combined(inflation.changes.get(key), change, strength) for key, change in changes.items()}
    return with_inflation(tuned, replace(inflation, temporal=temporal, changes=in_all))


def _patch(change: Change) -> tuple | LoRAAdapter:
    """Return the change of a weight as ComfyUI's patch of it."""
    if isinstance(change, Tensor):
        return "diff", (change,)
    down, up = change
    return LoRAAdapter(set(), (up, down, None, None, None, None))

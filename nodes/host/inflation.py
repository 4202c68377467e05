"""Inflated and tuned MODELs: ordinary MODELs of ComfyUI whose U-Net renders a batch of latents as one video."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import torch
from comfy.ldm.modules import attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy.weight_adapter import LoRAAdapter
from torch import Tensor, nn

from ... import tav_core
from ...tav_core.diffusion.settings import InflateSettings
from ...tav_core.network.projection import DOWN, UP, WEIGHT, Change, combined
from ...tav_core.network.structure import in_channels
from .comfy_model import PREFIX, check_weights, compute_dtype_of, fingerprint_of, plain_weights, schedule_of
from .folders import KEY
from .windows import FrameBatch, WindowedSampling


@dataclass(frozen=True)
class Inflation:
    """Make a MODEL a video model: a wrapper that ComfyUI calls around every call of the U-Net.

    The overrides are on the network during that call only, so other branches of a graph find it unchanged.
    """

    attention: str
    temporal_attention: bool
    joint_norm: bool
    window: int = 0
    """Frames that the network computes at once; 0 for all."""
    overlap: int = 0
    """Frames before a window that its temporal attention sees."""
    temporal: nn.ModuleList | None = None
    """The tuned temporal attention; None before tuning, when it would add nothing."""
    changes: Mapping[str, Change] = field(default_factory=dict, compare=False)
    """The changes of the tuned projections, by ComfyUI's keys; they are patches of the MODEL."""
    video_unets: dict[nn.Module, tav_core.VideoUNet] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )
    """The video U-Net of every network that was called."""

    def video_unet(
        self, unet: nn.Module, temporal: bool | nn.ModuleList | None = None, rank: int = 0
    ) -> tav_core.VideoUNet:
        """Return ``unet`` as a video U-Net, not attached yet."""
        kernel = "xformers" if comfy.model_management.xformers_enabled() else "sdpa"
        temporal = temporal or self.temporal or False
        options = {"rank": rank, "window": self.window, "overlap": self.overlap}
        return tav_core.VideoUNet(unet, self.attention, temporal, self.joint_norm, kernel, **options)

    def video_unet_of(self, network: nn.Module) -> tav_core.VideoUNet:
        """Return the video U-Net that calls of ``network`` go through."""
        if network not in self.video_unets:
            self.video_unets[network] = self.video_unet(network)
        return self.video_unets[network]

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
            self.temporal.to(x.device)  # ComfyUI 0.33.0 moves only its own layers of a partly loaded model
        video_unet = self.video_unet_of(executor.class_obj)
        kernel = _comfy_kernel(video_unet, transformer_options)
        frames = _frames(x, transformer_options)
        batch, parts = FrameBatch(len(x) // frames, frames), []
        with video_unet.attached(frames, kernel), video_unet.windows(frames) as windows:
            for window in windows:
                comfy.model_management.throw_exception_if_processing_interrupted()
                inputs = [batch.cut(value, window) for value in (x, timesteps, context, y)]
                of_window = control(window) if callable(control) else batch.cut(control, window)
                options, more = batch.cut_options(transformer_options, window), batch.cut(kw, window)
                parts.append(batch.per_video(executor(*inputs, of_window, options, **more)))
        return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).flatten(0, 1)


def _frames(x: Tensor, transformer_options: dict) -> int:
    """Return the frames per video in a batch. With Tiled Diffusion a batch holds several tiles of each frame; the
    sampler's sigmas, one per frame, tell how many frames there are."""
    frames, sigmas = x.shape[0] // len(transformer_options["cond_or_uncond"]), transformer_options.get("sigmas")
    of_sampler = 1 if sigmas is None else sigmas.numel()
    return of_sampler if of_sampler > 1 and frames % of_sampler == 0 else frames


def _comfy_kernel(video_unet: tav_core.VideoUNet, transformer_options: dict) -> Callable[..., Tensor]:
    """Return the attention that ComfyUI was started with, or that another node set for this MODEL."""
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


def inflation_of(model: ModelPatcher) -> Inflation:
    """Return the inflation of MODEL.

    Raises:
        ValueError: it is not inflated.
    """
    inflation = model.get_attachment(KEY)
    if inflation is None:
        raise ValueError("This MODEL is not inflated: put Inflate UNet between the checkpoint and this node.")
    return inflation


def inflate_model(
    model: ModelPatcher, attention: str, temporal_attention: bool, joint_norm: bool, window: int, overlap: int
) -> ModelPatcher:
    """Return a clone of MODEL that renders a batch of latents as one video.

    Raises:
        ValueError: it is inflated already, or is not a Stable Diffusion U-Net.
    """
    if model.get_attachment(KEY) is not None:
        raise ValueError("This MODEL is inflated already: connect the checkpoint's MODEL, or leave this node out.")
    inflation = Inflation(attention, temporal_attention, joint_norm, window, overlap)
    inflation.video_unet(model.model.diffusion_model)
    _check_family(model)
    schedule_of(model)
    return _with_inflation(model.clone(), inflation)


def _check_family(model: ModelPatcher) -> None:
    """Raise ValueError where the network takes more than noisy latents and text, which tuning has not got."""
    channels, latent = in_channels(model.model.diffusion_model), model.model.latent_format.latent_channels
    if channels != latent or isinstance(model.model, comfy.model_base.SD21UNCLIP):
        takes = f"takes {channels} channels instead of {latent}" if channels != latent else "takes a picture"
        raise ValueError(
            f"The U-Net of this MODEL {takes}: it is one for inpainting, depth, editing, video or variations; use an "
            "ordinary text-to-image checkpoint of the SD 1.x, SD 2.x or SDXL family."
        )


def apply_tuned(model: ModelPatcher, state: dict[str, Tensor], metadata: dict, strength: float) -> ModelPatcher:
    """Return a clone of MODEL with a saved motion; a MODEL that is not inflated is inflated as the file says.

    Raises:
        ValueError: the weights do not fit the MODEL or cannot be changed, or the strength is out of range.
    """
    check_weights(model)
    temporal = any(".attn_temp." in name for name in state)
    inflation = model.get_attachment(KEY) or Inflation(
        metadata.get("attention", InflateSettings.attention),
        temporal,
        metadata.get("joint_norm", InflateSettings.joint_norm),
    )
    if inflation.changes:
        raise ValueError("This MODEL is tuned already: connect the checkpoint's MODEL or that of Inflate UNet.")
    video_unet = inflation.video_unet(model.model.diffusion_model, inflation.temporal_attention)
    video_unet.load_tuned_state_dict(state, strength)
    changes: dict[str, Change] = {}
    for name, own_name in video_unet.tuned.projection_names().items():
        key = f"{PREFIX}{own_name}"
        if f"{name}.{UP}" in state:
            changes[key] = state[f"{name}.{DOWN}"].float(), state[f"{name}.{UP}"].float()
        else:  # the network may hold weights that a LoRA is merged into
            changes[key] = state[f"{name}.{WEIGHT}"].float() - plain_weights(model, [key])[key].to("cpu", torch.float32)
    return with_tuning(model, inflation, changes, strength, video_unet.temporal)


def other_base(model: ModelPatcher, metadata: dict) -> str:
    """Return a warning for the user if the saved motion was tuned on another checkpoint than MODEL's; else ""."""
    base = metadata.get("base_fingerprint")
    if not base or base == fingerprint_of(model):
        return ""
    return "This motion was tuned on another checkpoint: expect a weaker result."


def with_tuning(
    model: ModelPatcher,
    inflation: Inflation,
    changes: dict[str, Change],
    strength: float,
    temporal: nn.ModuleList | None,
) -> ModelPatcher:
    """Return a tuned clone of ``model``: weight patches, as a LoRA's, and the temporal attention.

    Args:
        changes: changes of the projections by ComfyUI's keys.
    """
    tuned = model.clone()
    tuned.add_patches({key: _patch(change) for key, change in changes.items()}, strength)
    if temporal is not None:
        temporal = temporal.to(model.offload_device, compute_dtype_of(model) or model.model.get_dtype())
    in_all = {key: combined(inflation.changes.get(key), change, strength) for key, change in changes.items()}
    return _with_inflation(tuned, replace(inflation, temporal=temporal, changes=in_all))


def _patch(change: Change) -> tuple | LoRAAdapter:
    """Return the change of a weight as ComfyUI's patch of it."""
    if isinstance(change, Tensor):
        return "diff", (change,)
    down, up = change
    return LoRAAdapter(set(), (up, down, None, None, None, None))


def _with_inflation(model: ModelPatcher, inflation: Inflation) -> ModelPatcher:
    """Put ``inflation`` on ``model`` in place of any other, its temporal attention under the memory manager."""
    model.set_attachments(KEY, inflation)
    model.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, KEY)
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, inflation)
    WindowedSampling(inflation.window).add_to(model, KEY)
    if inflation.temporal is not None:
        # ComfyUI 0.3.64 has no CoreModelPatcher
        patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        model.set_additional_models(KEY, [patcher(inflation.temporal, model.load_device, model.offload_device)])
    return model

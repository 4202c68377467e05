"""A MODEL made ready for tuning: whole on its device, with weights that stay there, and with memory to learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ... import tav_core
from ...tav_core.network.casting import PRECISIONS
from ...tav_core.network.structure import find_blocks
from .comfy_model import compute_dtype_of
from .inflation import Inflation


@dataclass(frozen=True)
class Learner:
    """A MODEL under tuning."""

    model: ModelPatcher
    memory: float
    """Bytes that tuning needs besides the weights."""
    video_unet: tav_core.VideoUNet

    def load(self) -> None:
        """Bring the U-Net back to its device, should another model have taken its place."""
        _load(self.model, self.memory)


@contextmanager
def learning(
    model: ModelPatcher, inflation: Inflation, shape: tuple[int, ...], settings: tav_core.TuneSettings
) -> Iterator[Learner]:
    """Load an inflated MODEL for tuning on latents of ``shape`` [b, c, f, h, w]; gradients can be taken within.

    Initial weights are drawn from the settings' seed; other random generators stay as they are.
    """
    trainable = _trainable_clone(model)
    memory = _memory_to_tune(trainable, inflation, shape, settings)
    unet = _load(trainable, memory)
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]), _float32_sums():
        torch.default_generator.manual_seed(settings.seed)  # torch.manual_seed would reseed the devices for good
        temporal = inflation.temporal_attention if inflation.temporal is None else deepcopy(inflation.temporal).float()
        with inflation.video_unet(unet, temporal, settings.rank).attached(shape[2]) as video_unet:
            video_unet.compute_dtype = compute_dtype_of(trainable)
            yield Learner(trainable, memory, video_unet)


def _load(model: ModelPatcher, memory: float) -> nn.Module:
    """Return the U-Net of MODEL, whole on its device, with ``memory`` more bytes free there."""
    comfy.model_management.load_models_gpu([model], memory_required=memory, force_full_load=True)
    return model.model.diffusion_model.to(model.load_device)


def _memory_to_tune(
    model: ModelPatcher, inflation: Inflation, shape: tuple[int, ...], settings: tav_core.TuneSettings
) -> float:
    """Estimate the bytes that tuning on latents of ``shape`` [b, c, f, h, w] takes besides the U-Net's weights.

    Activations are a multiple of ComfyUI's estimate for sampling the frames (bench/gpu_memory.py counts 1.5 times with
    gradient checkpointing and 10.5 times without). A tuned weight comes with its gradient and two moments of the
    optimizer, 16 bytes in all; each block has two tuned projections, and four more in its temporal attention, whole or
    as factors of the rank.
    """
    b, c, f, h, w = shape
    f = min(f, settings.frames_per_step or inflation.window or f)
    activations = model.memory_required([b * f, c, h, w]) * (1.6 if settings.gradient_checkpointing else 11)
    if settings.precision != "auto":
        estimated = compute_dtype_of(model) or model.model.get_dtype()
        activations *= PRECISIONS[settings.precision].itemsize / estimated.itemsize
    widths = [block.module.attn1.to_q.in_features for block in find_blocks(model.model.diffusion_model)]
    projections = 6 if inflation.temporal_attention else 2
    weights = sum(width * min(width, 2 * settings.rank or width) for width in widths) * projections
    return activations + weights * 16


@contextmanager
def _float32_sums() -> Iterator[None]:
    """Accumulate matrix products in float32, which gradients need; ComfyUI's --fast switches that to float16."""
    products = torch.backends.cuda.matmul
    chosen = getattr(products, "allow_fp16_accumulation", False)  # torch before 2.7 does not have it
    if chosen:
        products.allow_fp16_accumulation = False
    try:
        yield
    finally:
        if chosen:
            products.allow_fp16_accumulation = True


def _trainable_clone(model: ModelPatcher) -> ModelPatcher:
    """Return MODEL with weights that stay in place; ComfyUI's dynamic ones come and go during a backward pass."""
    # ComfyUI 0.3.64 has no dynamic memory, and neither do patchers that other packs derive from its older class
    if not hasattr(model, "is_dynamic") or not model.is_dynamic():
        return model
    try:
        clone = model.clone(disable_dynamic=True)
    except RuntimeError as error:
        raise ValueError(
            "This MODEL's loader keeps its weights in dynamic memory, where they cannot be tuned: load the checkpoint "
            "with Load Checkpoint, or start ComfyUI with --disable-dynamic-vram."
        ) from error
    _cast_to_model_dtype(clone.model.diffusion_model)
    return clone


def _cast_to_model_dtype(network: nn.Module) -> None:
    """Cast weights to the dtype that ComfyUI chose for them.

    With dynamic memory, ComfyUI 0.33.0 loads linear layers in the dtype of the file and casts them in use.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            chosen = getattr(module, f"{name}_comfy_model_dtype", parameter.dtype)
            if parameter.dtype != chosen:
                setattr(module, name, nn.Parameter(parameter.detach().to(chosen), requires_grad=False))

"""The places in a Stable Diffusion U-Net that inflating changes, found in both layouts in use.

The diffusers layout is ``UNet2DConditionModel``; the LDM layout is the network of the original Stable Diffusion code,
which ComfyUI builds. They are recognized by their structure, so neither library has to be installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Block:
    """A transformer block of the U-Net and its two names."""

    published_name: str
    """Name in the published network, e.g. ``down_blocks.0.attentions.0.transformer_blocks.0``; diffusers' name too."""
    name: str
    """Name in this network, e.g. ``input_blocks.1.1.transformer_blocks.0``."""
    module: nn.Module


def is_diffusers_layout(unet: nn.Module) -> bool:
    """Return True for a diffusers ``UNet2DConditionModel``, False for an LDM-layout U-Net.

    Raises:
        ValueError: the network is neither.
    """
    if hasattr(unet, "down_blocks") and hasattr(unet, "up_blocks"):
        return True
    if hasattr(unet, "input_blocks") and hasattr(unet, "output_blocks"):
        return False
    raise ValueError(
        f"A {type(unet).__name__} is not a Stable Diffusion U-Net: Tune-A-Video works on the SD 1.x, SD 2.x "
        "and SDXL family."
    )


def in_channels(unet: nn.Module) -> int:
    """Return the number of channels of the latents that ``unet`` takes."""
    return (unet.conv_in if is_diffusers_layout(unet) else unet.input_blocks[0][0]).in_channels


def context_dim(blocks: list[Block]) -> int:
    """Return the width of the text embeddings that the network of ``blocks`` takes."""
    return blocks[0].module.attn2.to_k.in_features


def default_rank(unet: nn.Module) -> int:
    """Return the rank to tune at where none is chosen: 0 for full tuning, as published, and 16 for SDXL, whose full
    tuning learns 0.6 billion weights."""
    return 16 if hasattr(unet, "add_embedding") or hasattr(unet, "label_emb") else 0  # takes a pooled embedding


def find_blocks(unet: nn.Module) -> list[Block]:
    """Return the transformer blocks of ``unet`` in the order of the published network: down, up, mid.

    Raises:
        ValueError: the network has no transformer blocks with self- and cross-attention.
    """
    names = _diffusers_transformers(unet) if is_diffusers_layout(unet) else _ldm_transformers(unet)
    blocks = [
        Block(f"{published}.transformer_blocks.{i}", f"{own}.transformer_blocks.{i}", block)
        for published, own in names
        for i, block in enumerate(unet.get_submodule(own).transformer_blocks)
    ]
    if not blocks or not all(getattr(b.module, "attn1", None) and getattr(b.module, "attn2", None) for b in blocks):
        raise ValueError(
            f"This {type(unet).__name__} has no transformer blocks with self- and cross-attention to inflate; "
            "use an SD 1.x, SD 2.x or SDXL checkpoint."
        )
    return blocks


def joint_norms(unet: nn.Module) -> list[nn.GroupNorm]:
    """Return the group norms with statistics over all frames: all but those opening a spatial transformer."""
    opening = {id(m.norm) for m in unet.modules() if hasattr(m, "transformer_blocks")}
    return [m for m in unet.modules() if isinstance(m, nn.GroupNorm) and id(m) not in opening]


def checkpointed_modules(unet: nn.Module) -> list[nn.Module]:
    """Return the modules that gradient checkpointing recomputes.

    These are residual blocks (LDM ``ResBlock``, diffusers ``ResnetBlock2D``) and spatial transformers; where one has
    several blocks, as in SDXL, each block is checkpointed by itself, so that only one is held at a time.
    """
    parts = []
    for module in unet.modules():
        if _is_residual(module):
            parts.append(module)
        elif hasattr(module, "transformer_blocks"):
            blocks = list(module.transformer_blocks)
            parts += blocks if len(blocks) > 1 else [module]
    return parts


def first_convolutions(unet: nn.Module) -> list[nn.Module]:
    """Return the first of the two convolutions of every residual block."""
    blocks = filter(_is_residual, unet.modules())
    return [block.conv1 if hasattr(block, "conv1") else block.in_layers[-1] for block in blocks]


def architecture(unet: nn.Module) -> str:
    """Return a short name of the base network, e.g. ``SD 1.x (16 blocks, channels 320-1280, context 768)``."""
    blocks = find_blocks(unet)
    dim = context_dim(blocks)
    channels = [b.module.attn1.to_q.in_features for b in blocks]
    family = {768: "SD 1.x", 1024: "SD 2.x", 2048: "SDXL"}.get(dim, "custom")
    return f"{family} ({len(blocks)} blocks, channels {min(channels)}-{max(channels)}, context {dim})"


@torch.no_grad()
def fingerprint(unet: nn.Module, originals: Mapping[str, Tensor] | None = None) -> str:
    """Return sixteen hex digits that identify the base weights.

    They are a hash of the signs of the self-attention key weights of every block, which neither tuning nor rounding
    changes: the same checkpoint gives the same digits in every precision and in both layouts.

    Args:
        originals: weights by the network's own names to use instead of those it holds, into which a host may have
            merged a LoRA.
    """
    digest = hashlib.sha256()
    for block in find_blocks(unet):
        weight = block.module.attn1.to_k.weight
        weight = (originals or {}).get(f"{block.name}.attn1.to_k.weight", weight)
        weight = weight.detach().to("cpu", torch.float16)  # float8 has no signbit
        digest.update(torch.signbit(weight).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _diffusers_transformers(unet: nn.Module) -> Iterator[tuple[str, str]]:
    for name, module in unet.named_modules():
        if hasattr(module, "transformer_blocks"):
            yield name, name


def _ldm_transformers(unet: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield (published name, LDM name) of every spatial transformer.

    The published network counts resolution levels and, within a level, attentions; the LDM network counts input and
    output blocks. A level ends with an input block that only downsamples, or with an output block that upsamples.
    """
    level, index = 0, 0
    for i, block in enumerate(unet.input_blocks):
        if i > 0 and not any(_is_residual(m) for m in block):
            level, index = level + 1, 0
        for j, module in enumerate(block):
            if hasattr(module, "transformer_blocks"):
                yield f"down_blocks.{level}.attentions.{index}", f"input_blocks.{i}.{j}"
                index += 1
    level, index = 0, 0
    for i, block in enumerate(unet.output_blocks):
        for j, module in enumerate(block):
            if hasattr(module, "transformer_blocks"):
                yield f"up_blocks.{level}.attentions.{index}", f"output_blocks.{i}.{j}"
                index += 1
        if any(hasattr(module, "conv") for module in block):  # packs put modules of their own behind it
            level, index = level + 1, 0
    index = 0
    for j, module in enumerate(unet.middle_block if unet.middle_block is not None else ()):
        if hasattr(module, "transformer_blocks"):
            yield f"mid_block.attentions.{index}", f"middle_block.{j}"
            index += 1


def _is_residual(module: nn.Module) -> bool:
    """Return whether ``module`` is LDM's ``ResBlock`` or diffusers' ``ResnetBlock2D``."""
    return hasattr(module, "in_layers") or (hasattr(module, "conv1") and hasattr(module, "norm2"))

"""Make Stable Diffusion 1.5 checkpoints, LoRA and ControlNet files with random weights, for tests.

    python tests/host/checkpoint.py OUT.safetensors           the smallest that ComfyUI takes for SD 1.5
    python tests/host/checkpoint.py --full OUT.safetensors    the size of the real one (about 2 GB)

ComfyUI recognises SD 1.5 by 320 channels in the U-Net's first convolution, a context of 768 and convolutions (not
linear layers) around its transformers; the text encoder's sizes are fixed. The small file therefore saves on the
U-Net's depth and widths, uses the tiny autoencoder (TAESD) in place of the full one, and stores the text encoder in
8 bits.
"""

import argparse
import math
import os
import zlib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import torch
from parameter_shapes import (
    CHANNELS,
    CONTEXT,
    FULL,
    FULL_XL,
    LATENT,
    SMALL,
    SMALL_UNCLIP,
    SMALL_V2,
    SMALL_XL,
    UNetSize,
    autoencoder,
    text_encoder,
    tiny_autoencoder,
    unet,
    unet_encoder,
    weights,
)
from safetensors.torch import save_file


def make_checkpoint(path: Path, full: bool = False, seed: int = 0) -> Path:
    """Write a single-file checkpoint in the SD 1.5 layout with random weights that keep activations near 1.

    full: the sizes of the real SD 1.5 with its autoencoder, everything in fp16, instead of the smallest.
    seed: the same seed gives the same file.
    """
    state = {}
    for name, shape in unet(FULL if full else SMALL):
        state[f"model.diffusion_model.{name}"] = _random(name, shape, seed).half()
    for name, shape in text_encoder():
        weight = _random(name, shape, seed).half()
        to_uint8 = not full and len(shape) == 2
        state[f"cond_stage_model.transformer.text_model.{name}"] = (
            weight.to(torch.float8_e4m3fn) if to_uint8 else weight
        )
    position_ids = torch.arange(77).unsqueeze(0)
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = position_ids
    for name, shape in autoencoder() if full else tiny_autoencoder():
        state[f"first_stage_model.{name}"] = _random(name, shape, seed).half()
    if not full:
        # latents as wide as SD 1.5 expects them (measured on a real clip), and decoded images neither black nor white
        state["first_stage_model.vae_scale"] = torch.tensor(0.36 * 0.18215)
        state["first_stage_model.vae_shift"] = torch.tensor(0.0)
        state["first_stage_model.taesd_decoder.18.bias"] = torch.full((3,), 0.75)
    return _save(state, path)


def make_unet(path: Path, size: UNetSize, marks: Iterable[str] = (), seed: int = 0) -> Path:
    """Write a U-Net, alone in its file.

    marks: names of empty tensors by which ComfyUI recognises how SDXL was trained: v_pred, ztsnr.
    """
    state = {name: _random(name, shape, seed).half() for name, shape in unet(size)}
    return _save(state | {mark: torch.zeros(0) for mark in marks}, path)


def make_v2_unet(path: Path) -> Path:
    """Write the smallest U-Net that ComfyUI takes for SD 2.x."""
    return make_unet(path, SMALL_V2)


def make_unclip_unet(path: Path) -> Path:
    """Write the smallest U-Net that ComfyUI takes for unCLIP, which makes variations of a picture."""
    return make_unet(path, SMALL_UNCLIP)


def make_sdxl_unet(path: Path) -> Path:
    """Write the smallest U-Net that ComfyUI takes for SDXL (with the depths of Segmind's Vega)."""
    return make_unet(path, SMALL_XL)


def make_sdxl_velocity_unet(path: Path) -> Path:
    """Write the same, marked as one that predicts velocity with zero terminal SNR, as NoobAI's does."""
    return make_unet(path, SMALL_XL, ("v_pred", "ztsnr"))


def make_full_sdxl_unet(path: Path) -> Path:
    """Write a U-Net of SDXL's full size: 2.6 billion weights, 5.1 GB."""
    return make_unet(path, FULL_XL)


def make_fp8_unet(path: Path, seed: int = 0) -> Path:
    """Write the small U-Net of SD 1.5, alone in its file, its transformers' linear layers in scaled 8 bit."""
    state = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    for name, shape in unet(SMALL):
        weight = _random(name, shape, seed)
        if "transformer_blocks" in name and len(shape) == 2:
            scale = weight.abs().max() / 448
            state[name.replace(".weight", ".scale_weight")] = scale
            state[name] = (weight / scale).to(torch.float8_e4m3fn)
        else:
            state[name] = weight.half()
    return _save(state, path)


def make_inpainting_unet(path: Path) -> Path:
    """Write the small U-Net of SD 1.5, alone in its file, that also takes a mask and the masked picture."""
    return _with_more_channels(path, SMALL, LATENT + 1)


def make_editing_unet(path: Path) -> Path:
    """Write one that also takes the picture to edit (instruct-pix2pix)."""
    return _with_more_channels(path, SMALL, LATENT)


def make_depth_unet(path: Path) -> Path:
    """Write one of SD 2.x that also takes a depth map."""
    return _with_more_channels(path, SMALL_V2, 1)


def _with_more_channels(path: Path, size: UNetSize, channels: int, seed: int = 0) -> Path:
    state = {name: _random(name, shape, seed).half() for name, shape in unet(size)}
    more = _random("more", (CHANNELS, channels, 3, 3), seed).half()
    state["input_blocks.0.0.weight"] = torch.cat([state["input_blocks.0.0.weight"], more], dim=1)
    return _save(state, path)


def make_lora(path: Path, modules: list[str], rank: int = 4, size: float = 0.5, seed: int = 0) -> Path:
    """Write a LoRA file with kohya's key names for projections of the small checkpoint's U-Net.

    modules: diffusers names of 320x320 projections, e.g. `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`.
    size: the standard deviation of the change relative to that of the weight.
    """
    state = {}
    for module in modules:
        key = "lora_unet_" + module.replace(".", "_")
        state[f"{key}.lora_down.weight"] = _random(f"{key}.down.weight", (rank, CHANNELS), seed)
        up = _random(f"{key}.up.weight", (CHANNELS, rank), seed)  # entries of up @ down have a deviation of 1/sqrt(320)
        state[f"{key}.lora_up.weight"] = up * size
        state[f"{key}.alpha"] = torch.tensor(float(rank))
    return _save(state, path)


def make_controlnet(path: Path, seed: int = 0) -> Path:
    """Write a ControlNet for the small checkpoint, in the layout of the original code, with random weights."""
    hints = (3, 16, 16, 32, 32, 96, 96, 256, CHANNELS)
    shapes = list(unet_encoder(SMALL))
    blocks = {name.split(".")[1] for name, _ in shapes if name.startswith("input_blocks.")}
    for number, (before, after) in enumerate(pairwise(hints)):
        shapes += weights(f"input_hint_block.{2 * number}", after, before, 3, 3)
    for output in (*(f"zero_convs.{block}.0" for block in blocks), "middle_block_out.0"):
        shapes += weights(output, CHANNELS, CHANNELS, 1, 1)
    return _save({name: _random(name, shape, seed).half() for name, shape in shapes}, path)


def make_gligen(path: Path, seed: int = 0) -> Path:
    """Write a GLIGEN model (boxes with words) for the small checkpoint, in its original layout, with random weights."""
    names = [name for name, _ in unet(SMALL) if "transformer_blocks" in name]
    blocks = sorted({name.split(".1.transformer_blocks")[0] for name in names})
    shapes = []
    for block in blocks:
        fuser = f"{block}.1.transformer_blocks.0.fuser"
        shapes += weights(f"{fuser}.linear", CHANNELS, CONTEXT)
        for projection in ("to_q", "to_k", "to_v"):
            shapes += weights(f"{fuser}.attn.{projection}", CHANNELS, CHANNELS, bias=False)
        shapes += weights(f"{fuser}.attn.to_out.0", CHANNELS, CHANNELS)
        shapes += weights(f"{fuser}.ff.net.0.proj", 8 * CHANNELS, CHANNELS)
        shapes += weights(f"{fuser}.ff.net.2", CHANNELS, 4 * CHANNELS)
        for norm in ("norm1", "norm2"):
            shapes += weights(f"{fuser}.{norm}", CHANNELS)
    box = 8 * 2 * 4  # sines and cosines of 8 frequencies, of four coordinates
    for number, (before, after) in enumerate(pairwise((CONTEXT + box, 512, 512, CONTEXT))):
        shapes += weights(f"position_net.linears.{2 * number}", after, before)
    shapes += [("position_net.null_positive_feature", (CONTEXT,)), ("position_net.null_position_feature", (box,))]
    state = {name: _random(name, shape, seed) for name, shape in shapes}
    for name in list(state):
        if name.endswith("fuser.linear.weight"):
            for gate in ("alpha_attn", "alpha_dense"):
                state[name.replace("linear.weight", gate)] = torch.tensor(1.0)
    return _save(state, path)


def _random(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Draw weights of deviation 1/sqrt(fan in), norm scales near 1, biases near 0, by name and seed."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
    weight = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        return weight / math.sqrt(math.prod(shape[1:]))
    return weight * 0.1 + (1.0 if name.endswith(".weight") else 0.0)


def _save(state: dict[str, torch.Tensor], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    save_file(state, temporary)
    os.replace(temporary, path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a checkpoint in the SD 1.5 layout with random weights.")
    parser.add_argument("output", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--full", action="store_true", help="the size of the real SD 1.5, about 2 GB")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    make_checkpoint(arguments.output, full=arguments.full, seed=arguments.seed)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.0f} MB")

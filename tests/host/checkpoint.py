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
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file

CHANNELS = 320
TIME = 4 * CHANNELS
CONTEXT = 768
LATENT = 4
Shapes = Iterator[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class UNetSize:
    """Per resolution, from fine to coarse: the width as a multiple of 320, and whether there are transformers."""

    widths: tuple[int, ...]
    transformers: tuple[bool, ...]
    residual_blocks: int
    context: int = CONTEXT
    linear: bool = False
    """Linear layers around the transformers instead of convolutions."""


SMALL = UNetSize(widths=(1, 1, 1), transformers=(True, True, False), residual_blocks=1)
SMALL_V2 = replace(SMALL, context=1024, linear=True)
FULL = UNetSize(widths=(1, 2, 4, 4), transformers=(True, True, True, False), residual_blocks=2)


def make_checkpoint(path: Path, full: bool = False, seed: int = 0) -> Path:
    """Write a single-file checkpoint in the SD 1.5 layout with random weights that keep activations near 1.

    full: the sizes of the real SD 1.5 with its autoencoder, everything in fp16, instead of the smallest.
    seed: the same seed gives the same file.
    """
    state = {}
    for name, shape in _unet(FULL if full else SMALL):
        state[f"model.diffusion_model.{name}"] = _random(name, shape, seed).half()
    for name, shape in _text_encoder():
        weight = _random(name, shape, seed).half()
        to_uint8 = not full and len(shape) == 2
        state[f"cond_stage_model.transformer.text_model.{name}"] = (
            weight.to(torch.float8_e4m3fn) if to_uint8 else weight
        )
    position_ids = torch.arange(77).unsqueeze(0)
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = position_ids
    for name, shape in _autoencoder() if full else _tiny_autoencoder():
        state[f"first_stage_model.{name}"] = _random(name, shape, seed).half()
    if not full:
        # latents as wide as SD 1.5 expects them (measured on a real clip), and decoded images neither black nor white
        state["first_stage_model.vae_scale"] = torch.tensor(0.36 * 0.18215)
        state["first_stage_model.vae_shift"] = torch.tensor(0.0)
        state["first_stage_model.taesd_decoder.18.bias"] = torch.full((3,), 0.75)
    return _save(state, path)


def make_v2_unet(path: Path, seed: int = 0) -> Path:
    """Write the smallest U-Net, alone in its file, that ComfyUI takes for SD 2.x."""
    return _save({name: _random(name, shape, seed).half() for name, shape in _unet(SMALL_V2)}, path)


def make_fp8_unet(path: Path, seed: int = 0) -> Path:
    """Write the small U-Net of SD 1.5, alone in its file, its transformers' linear layers in scaled 8 bit."""
    state = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    for name, shape in _unet(SMALL):
        weight = _random(name, shape, seed)
        if "transformer_blocks" in name and len(shape) == 2:
            scale = weight.abs().max() / 448
            state[name.replace(".weight", ".scale_weight")] = scale
            state[name] = (weight / scale).to(torch.float8_e4m3fn)
        else:
            state[name] = weight.half()
    return _save(state, path)


def make_inpainting_unet(path: Path, seed: int = 0) -> Path:
    """Write the small U-Net of SD 1.5, alone in its file, that also takes a mask and the masked picture."""
    state = {name: _random(name, shape, seed).half() for name, shape in _unet(SMALL)}
    more = _random("more", (CHANNELS, LATENT + 1, 3, 3), seed).half()
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
    shapes = list(_unet_encoder(SMALL))
    blocks = {name.split(".")[1] for name, _ in shapes if name.startswith("input_blocks.")}
    for number, (before, after) in enumerate(pairwise(hints)):
        shapes += _layer(f"input_hint_block.{2 * number}", after, before, 3, 3)
    for output in (*(f"zero_convs.{block}.0" for block in blocks), "middle_block_out.0"):
        shapes += _layer(output, CHANNELS, CHANNELS, 1, 1)
    return _save({name: _random(name, shape, seed).half() for name, shape in shapes}, path)


def make_gligen(path: Path, seed: int = 0) -> Path:
    """Write a GLIGEN model (boxes with words) for the small checkpoint, in its original layout, with random weights."""
    names = [name for name, _ in _unet(SMALL) if "transformer_blocks" in name]
    blocks = sorted({name.split(".1.transformer_blocks")[0] for name in names})
    shapes = []
    for block in blocks:
        fuser = f"{block}.1.transformer_blocks.0.fuser"
        shapes += _layer(f"{fuser}.linear", CHANNELS, CONTEXT)
        for projection in ("to_q", "to_k", "to_v"):
            shapes += _layer(f"{fuser}.attn.{projection}", CHANNELS, CHANNELS, bias=False)
        shapes += _layer(f"{fuser}.attn.to_out.0", CHANNELS, CHANNELS)
        shapes += _layer(f"{fuser}.ff.net.0.proj", 8 * CHANNELS, CHANNELS)
        shapes += _layer(f"{fuser}.ff.net.2", CHANNELS, 4 * CHANNELS)
        for norm in ("norm1", "norm2"):
            shapes += _layer(f"{fuser}.{norm}", CHANNELS)
    box = 8 * 2 * 4  # sines and cosines of 8 frequencies, of four coordinates
    for number, (before, after) in enumerate(pairwise((CONTEXT + box, 512, 512, CONTEXT))):
        shapes += _layer(f"position_net.linears.{2 * number}", after, before)
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


def _layer(name: str, *shape: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


def _unet(size: UNetSize) -> Shapes:
    """Return the U-Net's parameters as the original Stable Diffusion code names them."""
    last = len(size.widths) - 1
    channels, skips = yield from _unet_encoder(size)
    block = 0
    for level in range(last, -1, -1):
        for number in range(size.residual_blocks + 1):
            yield from _residual(f"output_blocks.{block}.0", channels + skips.pop(), size.widths[level] * CHANNELS)
            channels = size.widths[level] * CHANNELS
            if size.transformers[level]:
                yield from _transformer(f"output_blocks.{block}.1", channels, size)
            if level > 0 and number == size.residual_blocks:
                place = 2 if size.transformers[level] else 1
                yield from _layer(f"output_blocks.{block}.{place}.conv", channels, channels, 3, 3)
            block += 1
    yield from _layer("out.0", channels)
    yield from _layer("out.2", LATENT, channels, 3, 3)


def _unet_encoder(size: UNetSize) -> Generator[tuple[str, tuple[int, ...]], None, tuple[int, list[int]]]:
    """Add the half that a ControlNet shares; return the channels at its end, and those of each input block."""
    last = len(size.widths) - 1
    yield from _layer("time_embed.0", TIME, CHANNELS)
    yield from _layer("time_embed.2", TIME, TIME)
    yield from _layer("input_blocks.0.0", CHANNELS, LATENT, 3, 3)
    channels, skips, block = CHANNELS, [CHANNELS], 1
    for level, width in enumerate(size.widths):
        for _ in range(size.residual_blocks):
            yield from _residual(f"input_blocks.{block}.0", channels, width * CHANNELS)
            channels = width * CHANNELS
            if size.transformers[level]:
                yield from _transformer(f"input_blocks.{block}.1", channels, size)
            skips.append(channels)
            block += 1
        if level < last:
            yield from _layer(f"input_blocks.{block}.0.op", channels, channels, 3, 3)
            skips.append(channels)
            block += 1
    yield from _residual("middle_block.0", channels, channels)
    yield from _transformer("middle_block.1", channels, size)
    yield from _residual("middle_block.2", channels, channels)
    return channels, skips


def _residual(name: str, before: int, after: int) -> Shapes:
    yield from _layer(f"{name}.in_layers.0", before)
    yield from _layer(f"{name}.in_layers.2", after, before, 3, 3)
    yield from _layer(f"{name}.emb_layers.1", after, TIME)
    yield from _layer(f"{name}.out_layers.0", after)
    yield from _layer(f"{name}.out_layers.3", after, after, 3, 3)
    if before != after:
        yield from _layer(f"{name}.skip_connection", after, before, 1, 1)


def _transformer(name: str, channels: int, size: UNetSize) -> Shapes:
    block, kernel = f"{name}.transformer_blocks.0", () if size.linear else (1, 1)
    yield from _layer(f"{name}.norm", channels)
    yield from _layer(f"{name}.proj_in", channels, channels, *kernel)
    for attention, source in (("attn1", channels), ("attn2", size.context)):
        yield from _layer(f"{block}.{attention}.to_q", channels, channels, bias=False)
        yield from _layer(f"{block}.{attention}.to_k", channels, source, bias=False)
        yield from _layer(f"{block}.{attention}.to_v", channels, source, bias=False)
        yield from _layer(f"{block}.{attention}.to_out.0", channels, channels)
    yield from _layer(f"{block}.ff.net.0.proj", 8 * channels, channels)
    yield from _layer(f"{block}.ff.net.2", channels, 4 * channels)
    for norm in ("norm1", "norm2", "norm3"):
        yield from _layer(f"{block}.{norm}", channels)
    yield from _layer(f"{name}.proj_out", channels, channels, *kernel)


def _text_encoder() -> Shapes:
    """Return CLIP ViT-L/14's text encoder, as transformers names its parameters."""
    yield "embeddings.token_embedding.weight", (49408, CONTEXT)
    yield "embeddings.position_embedding.weight", (77, CONTEXT)
    for number in range(12):
        layer = f"encoder.layers.{number}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _layer(f"{layer}.self_attn.{projection}", CONTEXT, CONTEXT)
        yield from _layer(f"{layer}.mlp.fc1", 4 * CONTEXT, CONTEXT)
        yield from _layer(f"{layer}.mlp.fc2", CONTEXT, 4 * CONTEXT)
        yield from _layer(f"{layer}.layer_norm1", CONTEXT)
        yield from _layer(f"{layer}.layer_norm2", CONTEXT)
    yield from _layer("final_layer_norm", CONTEXT)


def _tiny_autoencoder() -> Shapes:
    """Return TAESD: rows of 64 channels; each entry is the place of a layer in its sequence, and what stands there."""
    encoder = "conv3 block half block block block half block block block half block block block conv4"
    decoder = "clamp conv4 relu " + "block block block double free " * 3 + "block conv3"
    for side, layers in (("taesd_encoder", encoder), ("taesd_decoder", decoder)):
        for number, layer in enumerate(layers.split()):
            name = f"{side}.{number}"
            if layer == "block":
                for place in (0, 2, 4):
                    yield from _layer(f"{name}.conv.{place}", 64, 64, 3, 3)
            elif layer in ("half", "free"):
                yield from _layer(name, 64, 64, 3, 3, bias=False)
            elif layer.startswith("conv"):
                outer = int(layer[-1])
                opens = number < 2
                yield from _layer(name, *((64, outer) if opens else (outer, 64)), 3, 3)


def _autoencoder() -> Shapes:
    """Return the KL autoencoder of SD 1.x, as the original code names its parameters."""
    widths = (128, 256, 512, 512)
    yield from _layer("encoder.conv_in", 128, 3, 3, 3)
    channels = 128
    for level, width in enumerate(widths):
        for number in range(2):
            yield from _plain_residual(f"encoder.down.{level}.block.{number}", channels, width)
            channels = width
        if level < 3:
            yield from _layer(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    yield from _middle("encoder.mid", channels)
    yield from _layer("encoder.norm_out", channels)
    yield from _layer("encoder.conv_out", 2 * LATENT, channels, 3, 3)
    yield from _layer("quant_conv", 2 * LATENT, 2 * LATENT, 1, 1)
    yield from _layer("post_quant_conv", LATENT, LATENT, 1, 1)
    yield from _layer("decoder.conv_in", channels, LATENT, 3, 3)
    yield from _middle("decoder.mid", channels)
    for level in (3, 2, 1, 0):
        for number in range(3):
            yield from _plain_residual(f"decoder.up.{level}.block.{number}", channels, widths[level])
            channels = widths[level]
        if level > 0:
            yield from _layer(f"decoder.up.{level}.upsample.conv", channels, channels, 3, 3)
    yield from _layer("decoder.norm_out", channels)
    yield from _layer("decoder.conv_out", 3, channels, 3, 3)


def _plain_residual(name: str, before: int, after: int) -> Shapes:
    yield from _layer(f"{name}.norm1", before)
    yield from _layer(f"{name}.conv1", after, before, 3, 3)
    yield from _layer(f"{name}.norm2", after)
    yield from _layer(f"{name}.conv2", after, after, 3, 3)
    if before != after:
        yield from _layer(f"{name}.nin_shortcut", after, before, 1, 1)


def _middle(name: str, channels: int) -> Shapes:
    yield from _plain_residual(f"{name}.block_1", channels, channels)
    yield from _layer(f"{name}.attn_1.norm", channels)
    for projection in ("q", "k", "v", "proj_out"):
        yield from _layer(f"{name}.attn_1.{projection}", channels, channels, 1, 1)
    yield from _plain_residual(f"{name}.block_2", channels, channels)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write a checkpoint in the SD 1.5 layout with random weights.")
    parser.add_argument("output", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--full", action="store_true", help="the size of the real SD 1.5, about 2 GB")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    make_checkpoint(arguments.output, full=arguments.full, seed=arguments.seed)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.0f} MB")

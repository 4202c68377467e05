"""Parts of the demo model: its tokenizer, text encoder, U-Net, autoencoder and noise schedule, untrained."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tav_core.demo.world import SIZE, all_words
from tav_core.diffusion.schedule import BETAS
from tav_core.files import replacing

TOKENS = 24
WIDTH = 96
"""Width of the text embeddings."""
CHANNELS = 8
"""Channels of the latents."""
FACTOR = 8
"""Pixels per latent, each way."""
START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: Path) -> None:
    """Write CLIP tokenizer files whose vocabulary is all bytes, so that any text has tokens, and the world's words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]

    merges: list[tuple[str, str]] = []
    for word in sorted(
        {w for one in all_words() for words in (one, replace(one, two=True)) for w in re.findall(r"\w+", words.caption)}
    ):
        parts = [*word[:-1], word[-1] + "</w>"]
        for pair in merges:  # merges that came before take precedence
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == pair:
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
                i += 1
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = [parts[0] + parts[1]]

    names = [*alphabet, *(a + "</w>" for a in alphabet), *(a + b for a, b in merges), START, END]
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "vocab.json", json.dumps({name: i for i, name in enumerate(names)}, ensure_ascii=False))
    _write(folder / "merges.txt", "\n".join(["#version: 0.2", *(f"{a} {b}" for a, b in merges), ""]))
    _write(folder / "special_tokens_map.json", json.dumps(special, indent=2))
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS, "do_lower_case": True, **special}
    _write(folder / "tokenizer_config.json", json.dumps(config, indent=2))


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Return [n, 24] token ids, padded with the end token as Stable Diffusion does."""
    options = {"padding": "max_length", "max_length": TOKENS, "truncation": True, "return_tensors": "pt"}
    return tokenizer(captions, **options).input_ids


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return two layers, 96 wide."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            projection_dim=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_unet() -> UNet2DConditionModel:
    """Return Stable Diffusion's blocks, narrow: 12x12 latents, three levels, one residual block each on the way down.

    As there, all levels but the deepest have transformer blocks, and so has the middle.

    Eight norm groups, not 32: with few channels per group, the last norm would take out of the prediction what the
    picture's mean colour needs.
    """
    return UNet2DConditionModel(
        sample_size=SIZE // FACTOR,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        layers_per_block=1,
        block_out_channels=(40, 80, 120),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=8,
    )


def write_scheduler(folder: Path) -> None:
    """Write Stable Diffusion's noise schedule, :meth:`.NoiseSchedule.stable_diffusion`, as diffusers does."""
    first, last = BETAS
    betas = {"beta_start": first, "beta_end": last, "beta_schedule": "scaled_linear"}
    DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1).save_pretrained(folder)


def new_autoencoder() -> AutoencoderTiny:
    """Return an autoencoder with a factor of 8 each way, as Stable Diffusion's, and twice its channels."""
    return AutoencoderTiny(
        encoder_block_out_channels=(48, 48, 48, 48),
        decoder_block_out_channels=(64, 64, 64, 64),
        num_encoder_blocks=(0, 1, 2, 3),
        num_decoder_blocks=(3, 2, 1, 0),
        latent_channels=CHANNELS,
        scaling_factor=1.0,
    )


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")

"""What the demo model is made of: its tokenizer, text encoder, U-Net, autoencoder and scheduler, untrained.

The autoencoder's encoder is not learned. It is linear: the latents are the means of 4x4 pixels (red, green, blue) and
the slope of brightness along their diagonal, which tells the decoder where in the 4x4 pixels an edge runs. So the
U-Net's data do not wait for an autoencoder, latents have a meaning, and their scale is fixed: a standard deviation of
about 0.5, which leaves little of a picture's colours in the noisiest step and so lets edits change them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tav_core.demo.world import all_words
from tav_core.files import replacing

TOKENS = 24
START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: Path) -> None:
    """Write CLIP tokenizer files whose vocabulary is all bytes, so that any text has tokens, and the world's words."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]

    merges: list[tuple[str, str]] = []
    for word in sorted({w for words in all_words() for w in re.findall(r"\w+", words.caption)}):
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
    """[n, 24] token ids, padded with the end token as Stable Diffusion does."""
    options = {"padding": "max_length", "max_length": TOKENS, "truncation": True, "return_tensors": "pt"}
    return tokenizer(captions, **options).input_ids


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Two layers, 64 wide."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            projection_dim=64,
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
    """Stable Diffusion's blocks, narrow: 16x16 latents, three levels, one residual block each on the way down.

    As there, all levels but the deepest have transformer blocks, and so has the middle.

    Eight norm groups, not 32: with one channel per group, the last norm would take out of the prediction what the
    picture's mean colour needs.
    """
    return UNet2DConditionModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(32, 64, 96),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=2,  # diffusers' name for the number of heads
        norm_num_groups=8,
    )


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def new_autoencoder() -> AutoencoderTiny:
    """The fixed linear encoder, and a decoder that is to be trained; a factor of 4 each way."""
    vae = AutoencoderTiny(
        encoder_block_out_channels=(4, 4, 4),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(0, 0, 0),
        num_decoder_blocks=(3, 3, 0),
        scaling_factor=1.0,
    )
    brightness = torch.tensor([0.3, 0.59, 0.11])
    first, half, quarter, last = vae.encoder.layers
    with torch.no_grad():
        for layer in (first, half, quarter, last):
            layer.weight.zero_()
        first.bias.zero_()
        for c in range(3):
            first.weight[c, c, 1, 1] = 1
            half.weight[c, c, 1:, 1:] = 0.25
            quarter.weight[c, c, 1:, 1:] = 0.25
            last.weight[c, c, 1, 1] = 2
        first.weight[3, :, 1, 1] = brightness
        slope = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])  # of 2x2 values along their diagonal
        half.weight[3, 3, 1:, 1:] = 0.25 * slope
        quarter.weight[3, 3, 1:, 1:] = 0.25
        quarter.weight[3, :3, 1:, 1:] = 0.5 * slope * brightness[:, None, None]
        last.weight[3, 3, 1, 1] = 4
        last.bias.copy_(torch.tensor([-1.0, -1.0, -1.0, 0.0]))
    vae.encoder.requires_grad_(False)
    return vae


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")

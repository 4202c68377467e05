"""Masks of what the words of a prompt name, from the attention of a MODEL."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ... import tav_core
from ...tav_core.diffusion.word_mask import named
from ...tav_core.network.structure import find_blocks
from ...tav_core.pictures.image import darkened
from .comfy_model import encode_prompt, latents_of, schedule_of, vae_scale_factor
from .ddim import run_loop
from .inflation import inflation_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.sd import CLIP


def mask_of_words(
    model: ModelPatcher,
    clip: CLIP,
    latent: dict,
    prompt: str,
    words: str,
    steps: int,
    threshold: float,
    growth: int,
    feather: int,
) -> Tensor:
    """Return a MASK ``[f, h, w]`` in pixels of what some words of the clip's prompt name.

    Raises:
        ValueError: the MODEL is not inflated, the latents do not fit it, or a word is not in the prompt.
    """
    inflation_of(model)
    schedule, latents = schedule_of(model), latents_of(model, latent)
    names = named(words)
    if not names:
        raise ValueError("No words were given: name what the mask should cover, with words of the clip's prompt.")
    tokens = tav_core.word_tokens(_ids(clip, prompt), [_word_ids(clip, word) for word in names])
    seen: list[Tensor] = []

    def run(predict: Callable, clean: Tensor, on_step: Callable) -> Tensor:
        blocks = find_blocks(predict.guider.inner_model.diffusion_model)
        seen.append(tav_core.word_map(predict, blocks, schedule, clean, {}, tokens, steps, on_step))
        return clean

    conds = {"positive": encode_prompt(clip, prompt)}
    run_loop(model, conds, 1.0, latent["samples"], schedule.timesteps(steps), run)
    height, width = (side * vae_scale_factor(model) for side in latents.shape[-2:])
    return tav_core.mask_from_map(seen[0], height, width, threshold, growth, feather)


def shown_mask(images: Tensor, mask: Tensor) -> Tensor:
    """Darken images ``[f, h, w, 3]`` outside of their masks."""
    mask = F.interpolate(mask[:, None], images.shape[1:3], mode="bilinear")
    return darkened(images[..., :3], rearrange(mask, "f 1 h w -> f h w").to(images))


def _ids(clip: CLIP, text: str) -> list[int]:
    """Return the token ids of a text, of all the chunks that the text encoder takes it in."""
    return [token[0] for chunk in next(iter(clip.tokenize(text).values())) for token in chunk]


def _word_ids(clip: CLIP, word: str) -> list[int]:
    """Return the token ids of a word, without begin, end and padding."""
    ids, end = _ids(clip, word), _ids(clip, "")[1]
    return ids[1 : ids.index(end)]

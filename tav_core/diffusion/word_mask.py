"""Masks of what the words of a prompt name, from the attention of the network; nothing else is loaded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..network.attention_maps import AttentionMaps, recorded_attention
from ..network.structure import Block
from .ddim import Condition, Model, OnStep, ddim_invert
from .masks import blur, grow
from .schedule import NoiseSchedule

_ARTICLES = ("a", "an", "the")


def word_map(
    model: Model,
    blocks: Sequence[Block],
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Condition,
    tokens: Sequence[int],
    steps: int = 5,
    on_step: OnStep | None = None,
) -> Tensor:
    """Find where in a clip some tokens of its prompt are seen.

    The clip is inverted with its own prompt, up to half the noise. Meanwhile cross-attention tells how much of its
    attention every place gives to the tokens (Prompt-to-Prompt, arXiv 2208.01626; FateZero, arXiv 2303.09535), summed
    over all blocks; self-attention then carries that to the places that belong together.

    Args:
        model: a :class:`VideoUNet` or another :data:`Model` that calls the network of ``blocks``.
        blocks: transformer blocks of the network.
        schedule: noise schedule of the checkpoint.
        latents: clean latents of one clip ``[1, c, f, h, w]``.
        context: text embeddings of the clip's prompt, or a dictionary of conditions.
        tokens: positions of the tokens in the prompt, from :func:`word_tokens`.
        steps: passes of the network: DDIM steps up to half the noise.
        on_step: called with (step counted from 1, latents); returning False stops after that step.

    Returns:
        ``[f, h, w]``, 0 to 1 over the clip.
    """
    frames, height, width = latents.shape[2:]
    with recorded_attention(blocks, tokens) as maps:
        maps.with_self_attention = steps == 1

        def stop_halfway(step: int, above: Tensor) -> bool:
            maps.with_self_attention = step == steps - 1
            return (on_step is None or on_step(step, above) is not False) and step < steps

        ddim_invert(model, schedule, latents, context, 2 * steps, stop_halfway)
    return _seen(maps, frames, height, width)


def mask_from_map(
    seen: Tensor, height: int, width: int, threshold: float = 0.5, growth: int = 0, feather: int = 0
) -> Tensor:
    """Make a mask of a map.

    Args:
        seen: ``[f, h, w]`` of :func:`word_map`.
        height, width: size of the mask in pixels.
        threshold: 0..1; what is above is inside.
        growth: pixels by which the mask grows; below 0 it shrinks.
        feather: pixels to each side over which its edge is softened.

    Returns:
        ``[f, height, width]``, 0..1.
    """
    seen = F.interpolate(seen[:, None].float(), (height, width), mode="bilinear")
    mask = grow((seen > threshold).float(), growth)
    return (blur(mask, feather) if feather else mask)[:, 0]


def word_tokens(prompt: Sequence[int], words: Sequence[Sequence[int]]) -> list[int]:
    """Return the positions in a tokenized prompt of every place where one of the words stands.

    Args:
        prompt: token ids of the prompt, begin and end included.
        words: token ids of each word, without begin and end.

    Raises:
        ValueError: a word does not stand in the prompt.
    """
    positions: set[int] = set()
    for word in words:
        starts = [i for i in range(len(prompt) - len(word) + 1) if list(prompt[i : i + len(word)]) == list(word)]
        if not starts or not word:
            raise ValueError("A word to look for is not in the clip's prompt: name it as the prompt does.")
        positions.update(i + j for i in starts for j in range(len(word)))
    return sorted(positions)


def named(words: str) -> list[str]:
    """Return the words of a phrase that name something: without articles and commas."""
    return [word for word in words.replace(",", " ").split() if word.lower() not in _ARTICLES]


def _seen(maps: AttentionMaps, frames: int, height: int, width: int) -> Tensor:
    total = torch.zeros(frames, 1, height, width)
    for each in maps.cross_attention(frames):
        h, w = _grid(each.shape[1], height, width)
        each = rearrange(each, "f (h w) -> f 1 h w", h=h, w=w)
        total += F.interpolate(each, (height, width), mode="bilinear")
    links = maps.self_attention()
    if links is not None:
        h, w = _grid(links.shape[1], height, width)
        places = rearrange(F.interpolate(_scaled(total), (h, w), mode="area"), "f 1 h w -> f (h w) 1")
        carried = rearrange(links @ (links @ places), "f (h w) 1 -> f 1 h w", h=h)
        total = F.interpolate(carried, (height, width), mode="bilinear")
    return _scaled(total)[:, 0]


def _grid(places: int, height: int, width: int) -> tuple[int, int]:
    """Return the size of the feature map with so many places, which halves latents once or several times."""
    while height * width > places:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def _scaled(x: Tensor) -> Tensor:
    return (x - x.min()) / (x.max() - x.min()).clamp(min=1e-12)

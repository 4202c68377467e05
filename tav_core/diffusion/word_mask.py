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
from .settings import WordMaskSettings

RIDGE = 0.1
"""Weight of the classifier's penalty, in variances of a feature."""
ROUNDS = 5
"""Rounds in which the classifier learns from the map that it made."""
_ARTICLES = ("a", "an", "the")


def word_map(
    model: Model,
    blocks: Sequence[Block],
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Condition,
    tokens: Sequence[int],
    steps: int = WordMaskSettings.steps,
    on_step: OnStep | None = None,
) -> Tensor:
    """Find where in a clip some tokens of its prompt are seen.

    The clip is inverted with its own prompt, up to half the noise. Meanwhile cross-attention shows how much every place
    attends to the tokens (Prompt-to-Prompt, arXiv 2208.01626; FateZero, arXiv 2303.09535), averaged over all heads,
    blocks and steps. A linear classifier then learns from that map which features of the network the places have in
    common, and draws it again for all frames.

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
        ``[f, h, w]``, 0 to 1 over the clip, and 0.5 where Otsu's threshold divides it.
    """
    frames, height, width = latents.shape[2:]
    with recorded_attention(blocks, tokens) as maps:
        maps.with_features = steps == 1

        def stop_halfway(step: int, above: Tensor) -> bool:
            maps.with_features = step == steps - 1
            return (on_step is None or on_step(step, above) is not False) and step < steps

        ddim_invert(model, schedule, latents, context, 2 * steps, stop_halfway)
    return _seen(maps, frames, height, width)


def mask_from_map(
    seen: Tensor,
    height: int,
    width: int,
    threshold: float = WordMaskSettings.threshold,
    growth: int = WordMaskSettings.grow,
    feather: int = 0,
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
    features = maps.features()
    if features is not None:
        h, w = _grid(features.shape[1], height, width)
        seen = rearrange(F.interpolate(total, (h, w), mode="area"), "f 1 h w -> (f h w)")
        alike = _classified(rearrange(features, "f n c -> (f n) c"), seen)
        total = F.interpolate(rearrange(alike, "(f h w) -> f 1 h w", f=frames, h=h), (height, width), mode="bilinear")
    return _scaled(total)[:, 0]


def _classified(features: Tensor, seen: Tensor) -> Tensor:
    """Return what a linear classifier of features ``[n, c]`` makes of a map ``[n]``.

    It learns to tell the places above the map's own threshold from the others (ridge regression), makes a map of them
    all, and learns from that one again: places of the clip that look alike end on the same side.
    """
    features = features - features.mean(dim=0)
    features /= features.std().clamp(min=1e-12)
    covariance = features.T @ features / len(features) + RIDGE * torch.eye(features.shape[1])
    for _ in range(ROUNDS):
        inside = (seen > _otsu(seen)).float()
        seen = features @ torch.linalg.solve(covariance, features.T @ (inside - inside.mean()) / len(features))
    return seen


def _otsu(seen: Tensor) -> Tensor:
    """Return the threshold that splits values into two groups with the least variance within them (Otsu, 1979)."""
    values = seen.flatten().double().sort().values
    below, total = torch.arange(1, len(values)), values.cumsum(0)
    above = len(values) - below
    between = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    split = int(between.argmax())
    return values[split : split + 2].mean().to(seen)


def _grid(places: int, height: int, width: int) -> tuple[int, int]:
    """Return the size of the feature map with so many places, which halves latents once or several times."""
    while height * width > places:
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def _scaled(x: Tensor) -> Tensor:
    """Scale values to 0..1, Otsu's threshold to 0.5."""
    middle = _otsu(x)
    below, above = ((side.abs().max()).clamp(min=1e-12) for side in (x.min() - middle, x.max() - middle))
    return 0.5 + 0.5 * (x - middle) / torch.where(x < middle, below, above)

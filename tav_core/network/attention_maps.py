"""Record where a network's attention goes: to some tokens of the text, and from place to place within a frame."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from .structure import Block

LARGEST_MAP = 1024
"""Places of a frame (32x32) up to which self-attention is recorded: it has as many values as their square."""


class AttentionMaps:
    """Attention of every transformer block, averaged over heads.

    Args:
        tokens: positions of the tokens to follow in the text.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)
        self.with_self_attention = False
        """Record self-attention too, from now on."""
        self._cross: dict[nn.Module, list[Tensor]] = {}
        self._self: dict[nn.Module, list[Tensor]] = {}

    def cross_attention(self, frames: int) -> Iterator[Tensor]:
        """Yield the share of attention that the tokens get ``[f, n]``, for every block, averaged over the calls."""
        for parts in self._cross.values():
            yield rearrange(torch.cat(parts), "(calls f) n -> calls f n", f=frames).mean(0)

    def self_attention(self) -> Tensor | None:
        """Return self-attention within each frame ``[f, n, n]``, averaged over the blocks of the finest resolution that
        was recorded; None where none was."""
        maps = [torch.cat(parts) for parts in self._self.values()]
        finest = max((each.shape[1] for each in maps), default=0)
        maps = [each.float() for each in maps if each.shape[1] == finest]
        return sum(maps) / len(maps) if maps else None

    def _record_cross(self, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        text = next(kwargs[name] for name in ("encoder_hidden_states", "context") if name in kwargs)
        query, key = layer.to_q(args[0]), layer.to_k(text)
        shares = [
            _probabilities(layer, q, k)[..., self.tokens].sum(-1).mean(0) for q, k in zip(query, key, strict=True)
        ]
        self._cross.setdefault(layer, []).append(torch.stack(shares).cpu())

    def _record_self(self, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if not self.with_self_attention or args[0].shape[1] > LARGEST_MAP:
            return
        query, key = layer.to_q(args[0]), layer.to_k(args[0])
        maps = [_probabilities(layer, q, k).mean(0) for q, k in zip(query, key, strict=True)]
        self._self.setdefault(layer, []).append(torch.stack(maps).to("cpu", torch.float16))


@contextmanager
def recorded_attention(blocks: Sequence[Block], tokens: Sequence[int]) -> Iterator[AttentionMaps]:
    """Record the attention of all calls within this context, which are of one video and take all frames in order."""
    maps = AttentionMaps(tokens)

    def before(record: Any, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        record(layer, args, kwargs)

    hooks = []
    try:
        for block in blocks:
            for layer, record in (
                (block.module.attn1, maps._record_self),
                (block.module.attn2, maps._record_cross),
            ):
                hooks.append(layer.register_forward_pre_hook(partial(before, record), with_kwargs=True))
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def _probabilities(layer: nn.Module, query: Tensor, key: Tensor) -> Tensor:
    """Return what softmax makes of the scores of ``[n, c]`` queries and ``[m, c]`` keys: ``[heads, n, m]``."""
    query, key = (rearrange(x.float(), "n (h d) -> h n d", h=layer.heads) for x in (query, key))
    return (query @ key.mT / math.sqrt(query.shape[-1])).softmax(-1)

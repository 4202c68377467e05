"""Record what a network attends to: where tokens of the text are seen, and features that describe every place."""

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

FEATURES = 256
"""Values that describe a place, whatever the size of the network."""


class AttentionMaps:
    """Cross-attention of every transformer block, and the tokens that enter its self-attention.

    Args:
        tokens: positions of the tokens to follow in the text.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)
        self.with_features = False
        """Record features too, from now on."""
        self._cross: dict[nn.Module, list[Tensor]] = {}
        self._features: dict[nn.Module, list[Tensor]] = {}

    def cross_attention(self, frames: int) -> Iterator[Tensor]:
        """Yield the attention that the tokens get ``[f, n]``, for every block, averaged over heads and calls.

        Each head's attention is scaled to a mean of 1 over a frame first: heads that seldom look at the tokens, but
        where they are, count as much as others.
        """
        for parts in self._cross.values():
            maps = torch.cat(parts)
            maps = maps / maps.mean(dim=-1, keepdim=True).clamp(min=1e-12)
            yield rearrange(maps.mean(dim=1), "(calls f) n -> calls f n", f=frames).mean(0)

    def features(self) -> Tensor | None:
        """Return what describes every place of every frame ``[f, n, FEATURES]``, at the finest resolution of the
        blocks; None where no features were recorded."""
        maps = [torch.cat(parts) for parts in self._features.values()]
        finest = max((each.shape[1] for each in maps), default=0)
        maps = [each.float() for each in maps if each.shape[1] == finest]
        return sum(maps) if maps else None

    def _record_cross(self, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        text = next(kwargs[name] for name in ("encoder_hidden_states", "context") if name in kwargs)
        query, key = layer.to_q(args[0]), layer.to_k(text)
        shares = [_probabilities(layer, q, k)[..., self.tokens].sum(-1) for q, k in zip(query, key, strict=True)]
        self._cross.setdefault(layer, []).append(torch.stack(shares).cpu())

    def _record_features(self, layer: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Record random projections of the tokens, which nearly keep their distances and bound their size."""
        if not self.with_features:
            return
        parts, width = self._features.setdefault(layer, []), args[0].shape[-1]
        generator = torch.Generator().manual_seed(list(self._features).index(layer))
        projection = torch.randn(width, FEATURES, generator=generator) / math.sqrt(width)
        parts.append((args[0] @ projection.to(args[0])).to("cpu", torch.float16))


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
                (block.module.attn1, maps._record_features),
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

"""Temporal attention: attention over the frames at each spatial position, which tuning learns."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .attention import Kernel
from .windows import KeptFrames

LARGEST_BATCH = 2**15
"""Sequences (spatial positions) that temporal attention takes at once. CUDA's kernels take hardly twice as many, and a
video of 1536x1536 has more positions at the top."""
LARGEST_LEARNING_BATCH = 2**7
"""The same while learning: the backward pass of FlashAttention pads every sequence to 128 queries in float32, which is
more than a gigabyte for all positions of 512x512 pixels."""


class CastLinear(nn.Linear):
    """A linear layer that keeps its weights as they are (float32 while learning) and casts them to its input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x), None if self.bias is None else self.bias.to(x))


class TemporalSelfAttention(nn.Module):
    """Multi-head attention over the frames at each spatial position (``attn_temp`` of the published network).

    The output projection starts at zero, weight and bias, so that inflating changes nothing before tuning.
    """

    def __init__(self, dim: int, inner_dim: int, heads: int, bias: bool, kernel: Kernel) -> None:
        super().__init__()
        self.heads = heads
        self.kernel = kernel
        self.to_q, self.to_k, self.to_v = (CastLinear(dim, inner_dim, bias=bias) for _ in range(3))
        self.to_out = nn.ModuleList([CastLinear(inner_dim, dim)])
        nn.init.zeros_(self.to_out[0].weight)
        nn.init.zeros_(self.to_out[0].bias)

    def forward(self, tokens: Tensor, kept: KeptFrames) -> Tensor:
        """Return ``[(b f), n, c]`` for tokens ``[(b f), n, c]`` of the current window's frames.

        Keys and values are those of the window and of the last frames before it.
        """
        query, key, value = (project(tokens) for project in (self.to_q, self.to_k, self.to_v))
        frames, stop = len(kept.window), kept.window.stop
        known, key, value = kept.join(self, key, value, range(max(0, stop - kept.overlap), stop))
        query, key, value = (
            rearrange(x, "(b f) n (h d) -> (b n) h f d", f=count, h=self.heads)
            for x, count in ((query, frames), (key, len(known)), (value, len(known)))
        )
        most = LARGEST_LEARNING_BATCH if torch.is_grad_enabled() else LARGEST_BATCH
        if len(query) > most:
            parts = zip(*(x.split(most) for x in (query, key, value)), strict=True)
            out = torch.cat([self.kernel(*part) for part in parts])
        else:
            out = self.kernel(query, key, value)
        return self.to_out[0](rearrange(out, "(b n) h f d -> (b f) n (h d)", n=tokens.shape[1]))


class TemporalAttention(nn.Module):
    """The layer norm and temporal attention that close a transformer block; the caller adds the residual."""

    def __init__(self, dim: int, inner_dim: int, heads: int, bias: bool, kernel: Kernel) -> None:
        super().__init__()
        self.norm_temp = nn.LayerNorm(dim)
        self.attn_temp = TemporalSelfAttention(dim, inner_dim, heads, bias, kernel)

    def forward(self, tokens: Tensor, kept: KeptFrames) -> Tensor:
        """Return ``[(b f), n, c]`` for tokens ``[(b f), n, c]``, see :class:`TemporalSelfAttention`."""
        norm = self.norm_temp
        normed = F.layer_norm(tokens, norm.normalized_shape, norm.weight.to(tokens), norm.bias.to(tokens), norm.eps)
        return self.attn_temp(normed, kept)

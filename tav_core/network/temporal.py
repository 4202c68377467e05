"""Temporal attention: attention over the frames at each spatial position, which tuning learns."""

from __future__ import annotations

from itertools import groupby

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .attention import Kernel
from .windows import KeptFrames, frames_in_time

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

        Keys and values are those of :func:`.frames_in_time`.
        """
        query, key, value = (project(tokens) for project in (self.to_q, self.to_k, self.to_v))
        frames, stop = len(kept.window), kept.window.stop
        known, key, value = kept.join(self, key, value, range(max(0, stop - kept.overlap), stop))
        query, key, value = (
            rearrange(x, "(b f) n (h d) -> (b n) h f d", f=count, h=self.heads)
            for x, count in ((query, frames), (key, len(known)), (value, len(known)))
        )
        parts, place = [], 0
        for seen, group in groupby(frames_in_time(kept.window, len(known), kept.overlap)):
            queries = query[:, :, place : place + len(list(group))]
            keys, values = (x[:, :, seen.start : seen.stop] for x in (key, value))
            parts.append(self._attend(queries, keys, values))
            place += queries.shape[2]
        out = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        return self.to_out[0](rearrange(out, "(b n) h f d -> (b f) n (h d)", n=tokens.shape[1]))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        most = LARGEST_LEARNING_BATCH if torch.is_grad_enabled() else LARGEST_BATCH
        if len(query) <= most:
            return self.kernel(query, key, value)
        parts = zip(*(x.split(most) for x in (query, key, value)), strict=True)
        return torch.cat([self.kernel(*part) for part in parts])


class TemporalAttention(nn.Module):
    """The layer norm and temporal attention that close a transformer block; the caller adds the residual.

    Args:
        attn1: the block's self-attention, which gives the width, and the heads of the published network.
        rank: inner width of the temporal attention; 0 for that of ``attn1`` (published).
        kernel: computes the attention.
    """

    def __init__(self, attn1: nn.Module, rank: int, kernel: Kernel) -> None:
        super().__init__()
        inner_dim, self.dim = attn1.to_q.weight.shape
        width, bias = rank or inner_dim, attn1.to_q.bias is not None
        self.norm_temp = nn.LayerNorm(self.dim)
        heads = attn1.heads if width == inner_dim else _heads(width)
        self.attn_temp = TemporalSelfAttention(self.dim, width, heads, bias, kernel)
        self.to(attn1.to_q.weight.device).requires_grad_(False)

    def resize(self, attn1: nn.Module, rank: int) -> None:
        """Replace the attention by an untuned one of another inner width; nothing where it has that width."""
        if (rank or len(attn1.to_q.weight)) != len(self.attn_temp.to_q.weight):
            with torch.inference_mode(False):
                self.attn_temp = TemporalAttention(attn1, rank, self.attn_temp.kernel).attn_temp

    def shapes(self, width: int) -> dict[str, torch.Size]:
        """Return the shapes of the parameters by name, for an attention of this inner width."""
        shapes = {}
        for name, parameter in self.named_parameters():
            shape = list(parameter.shape)
            if name.startswith("attn_temp."):
                inner = 1 if name.endswith("to_out.0.weight") else None if ".to_out." in name else 0
                if inner is not None:
                    shape[inner] = width
            shapes[name] = torch.Size(shape)
        return shapes

    def forward(self, tokens: Tensor, kept: KeptFrames) -> Tensor:
        """Return ``[(b f), n, c]`` for tokens ``[(b f), n, c]``, see :class:`TemporalSelfAttention`."""
        norm = self.norm_temp
        normed = F.layer_norm(tokens, norm.normalized_shape, norm.weight.to(tokens), norm.bias.to(tokens), norm.eps)
        return self.attn_temp(normed, kept)


def _heads(width: int) -> int:
    """Return the number of heads of an attention of low rank: each has at least 16 channels."""
    return next(heads for heads in range(max(1, width // 16), 0, -1) if width % heads == 0)

"""Attention between the frames of a video: which keys a frame sees, attention over time, and the kernels.

Everywhere, frames ride in the batch, video-major: tokens are ``[(b f), n, c]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..choices import ATTENTION_MODES

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(query ``[b, heads, n, d]``, key ``[b, heads, m, d]``, value ``[b, heads, m, d]``) -> ``[b, heads, n, d]``."""

LARGEST_BATCH = 2**15
"""How many sequences attention over time takes at once. CUDA's kernels take hardly twice as many, and a video of
1536x1536 has more positions at the top."""
LARGEST_LEARNING_BATCH = 2**7
"""Likewise, while learning. In the backward pass, FlashAttention holds every sequence's queries in float32 and as if it
had 128 of them: for all positions of 512x512 pixels, that is more than a gigabyte."""
LARGEST_SCORES = 2**27
"""How many scores of queries and keys exist at once where torch computes them all, as on Apple's GPUs."""


def attention_kernel(name: str) -> Kernel:
    """The attention kernel called ``name``: ``sdpa`` (torch) or ``xformers``.

    Raises:
        ValueError: the name is unknown, or xformers is asked for and not installed.
    """
    if name == "sdpa":
        return _sdpa
    if name == "xformers":
        try:
            from xformers.ops import memory_efficient_attention
        except ImportError:
            raise ValueError(
                "The attention kernel 'xformers' was asked for, but the package xformers is not installed: "
                "run 'pip install xformers' or choose the kernel 'sdpa'."
            ) from None

        def xformers(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            return memory_efficient_attention(*(x.transpose(1, 2) for x in (query, key, value))).transpose(1, 2)

        return xformers
    raise ValueError(f"The attention kernel {name!r} is unknown: choose 'sdpa' or 'xformers'.")


def _sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    attention = in_parts if query.device.type == "mps" else F.scaled_dot_product_attention
    return attention(query, key, value)


def in_parts(query: Tensor, key: Tensor, value: Tensor, largest: int = LARGEST_SCORES) -> Tensor:
    """Attention as a :data:`Kernel`, a few queries after the other, so that about ``largest`` scores exist at once.

    While learning, each part's are computed again in the backward pass.
    """
    _, heads, queries, _ = query.shape
    keys = key.shape[2]
    if query.shape[0] * heads * queries * keys <= largest:
        return F.scaled_dot_product_attention(query, key, value)
    sequences, rows = max(1, largest // (heads * queries * keys)), max(1, largest // (heads * keys))
    out = []
    for q, k, v in zip(*(x.split(sequences) for x in (query, key, value)), strict=True):
        parts = [
            checkpoint(F.scaled_dot_product_attention, part, k, v, use_reentrant=False, preserve_rng_state=False)
            for part in q.split(rows, dim=2)
        ]
        out.append(torch.cat(parts, dim=2))
    return torch.cat(out)


def check_mode(mode: str) -> str:
    """``mode`` itself.

    Raises:
        ValueError: it is none of :data:`.ATTENTION_MODES`.
    """
    if mode not in ATTENTION_MODES:
        raise ValueError(f"The attention mode {mode!r} is unknown: choose one of {', '.join(ATTENTION_MODES)}.")
    return mode


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel) -> Tensor:
    """Multi-head attention of tokens ``[b, n, c]`` to keys and values ``[b, m, c]``, giving ``[b, n, c]``."""
    query, key, value = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (query, key, value))
    return rearrange(kernel(query, key, value), "b h n d -> b n (h d)")


def video_attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, frames: int, mode: str, kernel: Kernel
) -> Tensor:
    """Self-attention whose keys and values come from other frames (Tune-A-Video, section 3.2).

    Args:
        query: projected tokens ``[(b f), n, c]``.
        key, value: likewise ``[(b f), m, c]``; m is n unless another patch of the network merges or adds tokens.
        heads: number of attention heads; ``c`` is a multiple of it.
        frames: frames per video.
        mode: one of :data:`.ATTENTION_MODES`. Frame 0 stands in for the frame before it; one frame attends to itself.
        kernel: see :func:`attention_kernel`.

    Returns:
        ``[(b f), n, c]``.
    """
    if frames > 1 and mode in ("sparse_causal", "previous_frame"):
        key, value = (_neighbours(x, frames, mode == "sparse_causal") for x in (key, value))
    elif frames > 1 and mode in ("full", "first_frame"):
        # One set of keys serves all frames: their queries form one long sequence, and no key is copied.
        tokens = key.shape[1]
        query, key, value = (rearrange(x, "(b f) n c -> b (f n) c", f=frames) for x in (query, key, value))
        if mode == "first_frame":
            key, value = key[:, :tokens], value[:, :tokens]
    out = attend(query, key, value, heads, kernel)
    return rearrange(out, "b (f n) c -> (b f) n c", f=frames) if frames > 1 and mode in ("full", "first_frame") else out


def _neighbours(tokens: Tensor, frames: int, with_first: bool) -> Tensor:
    """Tokens of the previous frame (frame 0 for itself), after those of frame 0 if ``with_first``."""
    tokens = rearrange(tokens, "(b f) n c -> b f n c", f=frames)
    return rearrange(_Neighbours.apply(tokens, with_first), "b f n c -> (b f) n c")


class _Neighbours(torch.autograd.Function):
    """What slices and a concatenation would do, with one allocation forward and one backward."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, with_first: bool) -> Tensor:
        b, f, n, c = tokens.shape
        ctx.with_first = with_first
        out = tokens.new_empty(b, f, 2 * n if with_first else n, c)
        if with_first:
            out[:, :, :n] = tokens[:, :1]
        out[:, :1, -n:] = tokens[:, :1]
        out[:, 1:, -n:] = tokens[:, :-1]
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        n = gradient.shape[2] // 2 if ctx.with_first else gradient.shape[2]
        previous = gradient[:, :, -n:]
        result = previous.roll(-1, dims=1)
        result[:, -1] = 0
        result[:, 0] += previous[:, 0]
        if ctx.with_first:
            result[:, 0] += gradient[:, :, :n].sum(dim=1)
        return result, None


class CastLinear(nn.Linear):
    """A linear layer whose weights stay as they are (float32 while learning) and compute as their input is."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x), None if self.bias is None else self.bias.to(x))


class CrossFrameAttention(nn.Module):
    """Multi-head attention over the frames at each spatial position (``attn_temp`` of the published network).

    The output projection starts at zero, weight and bias, so that a fresh one adds nothing.
    """

    def __init__(self, dim: int, inner_dim: int, heads: int, bias: bool, kernel: Kernel) -> None:
        super().__init__()
        self.heads = heads
        self.kernel = kernel
        self.to_q, self.to_k, self.to_v = (CastLinear(dim, inner_dim, bias=bias) for _ in range(3))
        self.to_out = nn.ModuleList([CastLinear(inner_dim, dim)])
        nn.init.zeros_(self.to_out[0].weight)
        nn.init.zeros_(self.to_out[0].bias)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """``[(b f), n, c] -> [(b f), n, c]``; the projections need no reordering, only the attention does."""
        query, key, value = (
            rearrange(project(tokens), "(b f) n (h d) -> (b n) h f d", f=frames, h=self.heads)
            for project in (self.to_q, self.to_k, self.to_v)
        )
        most = LARGEST_LEARNING_BATCH if torch.is_grad_enabled() else LARGEST_BATCH
        if len(query) > most:
            parts = zip(*(x.split(most) for x in (query, key, value)), strict=True)
            out = torch.cat([self.kernel(*part) for part in parts])
        else:
            out = self.kernel(query, key, value)
        return self.to_out[0](rearrange(out, "(b n) h f d -> (b f) n (h d)", n=tokens.shape[1]))


class TemporalAttention(nn.Module):
    """The layer norm and the attention over time that close a transformer block; the caller adds the residual."""

    def __init__(self, dim: int, inner_dim: int, heads: int, bias: bool, kernel: Kernel) -> None:
        super().__init__()
        self.norm_temp = nn.LayerNorm(dim)
        self.attn_temp = CrossFrameAttention(dim, inner_dim, heads, bias, kernel)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """``[(b f), n, c] -> [(b f), n, c]``."""
        norm = self.norm_temp
        normed = F.layer_norm(tokens, norm.normalized_shape, norm.weight.to(tokens), norm.bias.to(tokens), norm.eps)
        return self.attn_temp(normed, frames)

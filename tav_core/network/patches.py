"""What the modules of an inflated network compute in place of their own forwards.

Each function makes the forward of one kind of module, for the :class:`VideoUNet` whose call is under way; ``original``
is the forward that it replaces or wraps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor, nn

from .attention import attend, video_attention

if TYPE_CHECKING:
    from .video_unet import VideoUNet

Forward = Callable[..., Tensor]

LARGEST_ACTIVATION = 128 << 20
"""Bytes of a feed-forward's inner activations that are held at once."""
_WIDENING = 8
"""How much wider than its tokens a gated feed-forward is inside (arXiv 2002.05202)."""


def block(video_unet: VideoUNet, original: Forward, index: int) -> Forward:
    """Of a transformer block: closed by attention over time, if there is one."""

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        tokens = original(*args, **kwargs)
        if video_unet.temporal is None:
            return tokens
        return tokens + video_unet.temporal[index](tokens, video_unet.frames)

    return forward


def self_attention(video_unet: VideoUNet, original: Forward, attention: nn.Module) -> Forward:
    """Of a block's ``attn1``: keys and values come from other frames."""

    def forward(
        tokens: Tensor,
        encoder_hidden_states: Tensor | None = None,
        context: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: object,
    ) -> Tensor:
        if any(given is not None for given in (encoder_hidden_states, mask, attention_mask)):
            raise ValueError(
                "Self-attention with a mask or other tokens cannot be inflated: use an SD 1.x, 2.x or SDXL U-Net."
            )
        keys = tokens if context is None else context
        query, key = attention.to_q(tokens), attention.to_k(keys)
        value = attention.to_v(keys if value is None else value)
        # HyperTile cuts the queries of a frame into tiles, a batch each; its keys are cut here, and a tile sees tiles
        frames, tiles = video_unet.frames, len(query) // len(key)
        query = rearrange(query, "(b f t) n c -> (b t f) n c", f=frames, t=tiles)
        key, value = (rearrange(x, "(b f) (t m) c -> (b t f) m c", f=frames, t=tiles) for x in (key, value))
        with video_unet.recomputation.keeping():
            out = video_attention(query, key, value, attention.heads, frames, video_unet.attention, video_unet.kernel)
        return attention.to_out[0](rearrange(out, "(b t f) n c -> (b f t) n c", f=frames, t=tiles))

    return forward


def learning_cross_attention(video_unet: VideoUNet, original: Forward, attention: nn.Module) -> Forward:
    """Of an LDM block's ``attn2``: while learning, by our kernel.

    ComfyUI computes it with whatever the person started it with, SageAttention for one, that gradients do not pass.
    """

    def forward(
        tokens: Tensor,
        context: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        if mask is not None or not torch.is_grad_enabled():
            return original(tokens, context=context, value=value, mask=mask, **kwargs)
        query, key = attention.to_q(tokens), attention.to_k(context)
        value = attention.to_v(context if value is None else value)
        return attention.to_out(attend(query, key, value, attention.heads, video_unet.kernel))

    return forward


def text_projection(video_unet: VideoUNet, original: Forward, projection: nn.Module) -> Forward:
    """Of ``to_k`` and ``to_v`` of a block's ``attn2``: once per video."""
    return lambda tokens: video_unet.text.project(tokens, video_unet.frames, projection, original)


def joint_norm(video_unet: VideoUNet, original: Forward) -> Forward:
    """Of a group norm: statistics over all frames of a video."""

    def forward(x: Tensor) -> Tensor:
        if video_unet.frames == 1:
            return original(x)
        height = x.shape[-2]
        joint = original(rearrange(x, "(b f) c h w -> b c (f h) w", f=video_unet.frames))
        return rearrange(joint, "b c (f h) w -> (b f) c h w", h=height)

    return forward


def recomputed(video_unet: VideoUNet, original: Forward) -> Forward:
    """Of a part whose inner activations are computed again in the backward pass when that is asked for."""

    def compute(*args: Any, **kwargs: Any) -> Tensor:
        with video_unet.casting():
            return original(*args, **kwargs)

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        if video_unet.gradient_checkpointing and torch.is_grad_enabled():
            dropout = video_unet.unet.training
            return video_unet.recomputation.run(compute, *args, preserve_rng_state=dropout, **kwargs)
        return original(*args, **kwargs)

    return forward


def first_convolution(video_unet: VideoUNet, original: Forward) -> Forward:
    """Of a residual block: its result is kept when the block is computed again, which needs nothing of the second; but
    not of the first block, where no gradient passes."""

    def forward(x: Tensor) -> Tensor:
        with video_unet.recomputation.keeping() if x.requires_grad else nullcontext():
            return original(x)

    return forward


def feed_forward(video_unet: VideoUNet, original: Forward) -> Forward:
    """Of a block's ``ff``: a long video's frames go through it in groups, as the activations inside are the largest of
    the network; while learning, each group's are computed again when its turn comes."""
    recompute = recomputed(video_unet, original)

    def forward(tokens: Tensor) -> Tensor:
        groups = math.ceil(tokens.nbytes * _WIDENING / LARGEST_ACTIVATION)
        return original(tokens) if groups == 1 else torch.cat([recompute(group) for group in tokens.chunk(groups)])

    return forward

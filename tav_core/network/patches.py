"""The changed computations: each function replaces one method of one kind of module in an inflated U-Net.

All have the form ``patch(state, module, original, ...)``: the state of the current call, the patched module, the method
that is replaced, and that method's own arguments. Frames ride in the batch, video-major: ``[(b f), ...]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from .attention import attend, frames_to_keep, key_frames, video_attention
from .frozen_convolution import FrozenConvolution, is_plain
from .state import VideoState

Forward = Callable[..., Tensor]

LARGEST_ACTIVATION = 128 << 20
"""Bytes of a feed-forward's inner activations that are held at once."""
_WIDENING = 8
"""Inner width of a gated feed-forward (arXiv 2002.05202), in multiples of its tokens' width."""


def transformer_block(state: VideoState, block: nn.Module, original: Forward, *args: Any, **kwargs: Any) -> Tensor:
    """Close a transformer block with temporal attention, if there is one."""
    tokens = original(*args, **kwargs)
    if not state.temporal_of:
        return tokens
    return tokens + state.temporal_of[block](tokens, state.kept)


def self_attention(
    state: VideoState,
    attention: nn.Module,
    original: Forward,
    tokens: Tensor,
    encoder_hidden_states: Tensor | None = None,
    context: Tensor | None = None,
    value: Tensor | None = None,
    mask: Tensor | None = None,
    attention_mask: Tensor | None = None,
    **kwargs: object,
) -> Tensor:
    """Compute a block's ``attn1`` with keys and values of other frames (Tune-A-Video, section 3.2)."""
    if any(given is not None for given in (encoder_hidden_states, mask, attention_mask)):
        raise ValueError(
            "Self-attention with a mask or other tokens cannot be inflated: use an SD 1.x, 2.x or SDXL U-Net."
        )
    keys = tokens if context is None else context
    query, key = attention.to_q(tokens), attention.to_k(keys)
    query, key = state.shared_attention.exchange(attention, state.kept.window.start, query, key)
    value = attention.to_v(keys if value is None else value)
    frames, tiles, window = state.frames, len(query) // len(key), state.kept.window
    known, key, value = state.kept.join(attention, key, value, frames_to_keep(state.attention, window.stop))
    # HyperTile cuts the queries of a frame into tiles, a batch each; cut the keys too, so that tiles see tiles
    query = rearrange(query, "(b f t) n c -> (b t f) n c", f=frames, t=tiles)
    key, value = (rearrange(x, "(b f) (t m) c -> (b t f) m c", f=len(known), t=tiles) for x in (key, value))
    seen = key_frames(state.attention, window, known)
    with state.checkpointing.saving():
        out = video_attention(query, key, value, attention.heads, seen, state.kernel)
    return attention.to_out[0](rearrange(out, "(b t f) n c -> (b f t) n c", f=frames, t=tiles))


def cross_attention(
    state: VideoState,
    attention: nn.Module,
    original: Forward,
    tokens: Tensor,
    context: Tensor | None = None,
    value: Tensor | None = None,
    mask: Tensor | None = None,
    **kwargs: Any,
) -> Tensor:
    """Compute an LDM block's ``attn2`` with our kernel while learning.

    ComfyUI computes it with the kernel it was started with, and gradients do not pass all of them (SageAttention).
    """
    if mask is not None or not torch.is_grad_enabled():
        return original(tokens, context=context, value=value, mask=mask, **kwargs)
    query, key = attention.to_q(tokens), attention.to_k(context)
    value = attention.to_v(context if value is None else value)
    return attention.to_out(attend(query, key, value, attention.heads, state.kernel))


def text_projection(state: VideoState, projection: nn.Module, original: Forward, tokens: Tensor) -> Tensor:
    """Apply ``to_k`` or ``to_v`` of a block's ``attn2`` once per video."""
    return state.text_cache.project(tokens, state.frames, projection, original)


def joint_norm(state: VideoState, norm: nn.Module, original: Forward, x: Tensor) -> Tensor:
    """Apply a group norm with statistics over all frames of a video; through windows, over frames up to each one."""
    if not state.kept.single():
        return _running_norm(state, norm, original(x), x)
    if state.frames == 1:
        return original(x)
    joint = original(rearrange(x, "(b f) c h w -> b c (f h) w", f=state.frames))
    return rearrange(joint, "b c (f h) w -> (b f) c h w", h=x.shape[-2])


def _running_norm(state: VideoState, norm: nn.GroupNorm, per_frame: Tensor, x: Tensor) -> Tensor:
    """Return a group norm with a running mean of the frames' statistics, from the norm of each frame by itself.

    Where ``m`` and ``s`` are a frame's mean and deviation and ``M`` and ``S`` the running ones,
    ``(x - M) / S = (x - m) / s * (s / S) + (m - M) / S``; this way no precision is lost in 16 bit.
    """
    groups = rearrange(x, "(b f) (g c) h w -> f b g (c h w)", f=state.frames, g=norm.num_groups)
    moments = [torch.var_mean(frame.float(), dim=-1, correction=0) for frame in groups]
    variance, mean = (torch.stack(each) for each in zip(*moments))
    running = state.kept.running_mean(norm, torch.stack([mean, variance + mean.square()], dim=1), state.window)
    running_mean, running_square = running.unbind(dim=1)
    running_deviation = (running_square - running_mean.square() + norm.eps).sqrt()
    ratio = (variance + norm.eps).sqrt() / running_deviation
    offset = (mean - running_mean) / running_deviation
    width = norm.num_channels // norm.num_groups
    ratio, offset = (repeat(each, "f b g -> (b f) (g c) 1 1", c=width).to(x) for each in (ratio, offset))
    weight, bias = (each.to(x)[:, None, None] for each in (norm.weight, norm.bias))
    return torch.addcmul(offset * weight + bias * (1 - ratio), per_frame, ratio)


def checkpointed(state: VideoState, module: nn.Module, original: Forward, *args: Any, **kwargs: Any) -> Tensor:
    """Recompute a module's inner activations in the backward pass, where gradient checkpointing is on."""
    if not (state.gradient_checkpointing and torch.is_grad_enabled()):
        return original(*args, **kwargs)

    def compute(*args: Any, **kwargs: Any) -> Tensor:
        with state.casting():  # the backward pass runs outside the context of the call
            return original(*args, **kwargs)

    return state.checkpointing.run(compute, *args, preserve_rng_state=state.unet.training, **kwargs)


def first_convolution(state: VideoState, convolution: nn.Module, original: Forward, x: Tensor) -> Tensor:
    """Save the output of a residual block's first convolution, so that recomputing the block runs neither.

    Not in the first block of the network: its input needs no gradient.
    """
    with state.checkpointing.saving() if x.requires_grad else nullcontext():
        return original(x)


def feed_forward(state: VideoState, module: nn.Module, original: Forward, tokens: Tensor) -> Tensor:
    """Apply a block's feed-forward to groups of frames, as its inner activations are the largest of the network.

    While learning, each group is checkpointed by itself.
    """
    groups = math.ceil(tokens.nbytes * _WIDENING / LARGEST_ACTIVATION)
    if groups == 1:
        return original(tokens)
    return torch.cat([checkpointed(state, module, original, group) for group in tokens.chunk(groups)])


def frozen_convolution(
    state: VideoState, convolution: nn.Conv2d, original: Forward, x: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor:
    """Compute ``_conv_forward`` of a convolution without saving its input, which only the weight's gradient needs."""
    learning = torch.is_grad_enabled() and x.requires_grad and not weight.requires_grad
    if learning and is_plain(convolution, original):
        return FrozenConvolution.apply(x, weight, bias, convolution)
    return original(x, weight, bias)

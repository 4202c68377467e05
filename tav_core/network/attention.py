"""Self-attention between the frames of a video: which frames each mode sees, and the kernels.

Frames ride in the batch, video-major: tokens are ``[(b f), n, c]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..choices import ATTENTION_MODES

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(query ``[b, heads, n, d]``, key ``[b, heads, m, d]``, value ``[b, heads, m, d]``) -> ``[b, heads, n, d]``."""

FRAMES_SEEN: dict[str, Callable[[int, range], Sequence[int]]] = {
    "sparse_causal": lambda frame, window: (0, max(0, frame - 1)),
    "spatial": lambda frame, window: (frame,),
    "first_frame": lambda frame, window: (0,),
    "previous_frame": lambda frame, window: (max(0, frame - 1),),
    "full": lambda frame, window: (*range(min(window.start, 1)), *window),
}
"""By attention mode: the frames whose keys and values a frame sees, in a call on the frames ``window``. ``full`` is all
of them; where a video goes through the network in windows, its window and frame 0."""
assert tuple(FRAMES_SEEN) == ATTENTION_MODES

LARGEST_SCORES = 2**27
"""Scores of queries and keys that exist at once where torch computes all of them, as on Apple GPUs (untested there)."""


def check_mode(mode: str) -> str:
    """Return ``mode``.

    Raises:
        ValueError: it is none of :data:`.ATTENTION_MODES`.
    """
    if mode not in FRAMES_SEEN:
        raise ValueError(f"The attention mode {mode!r} is unknown: choose one of {', '.join(FRAMES_SEEN)}.")
    return mode


def key_frames(mode: str, window: range, known: Sequence[int]) -> list[list[int]]:
    """Return, for every frame of ``window``, the positions in ``known`` of the frames that it sees."""
    return [[known.index(seen) for seen in FRAMES_SEEN[mode](frame, window)] for frame in window]


def frames_to_keep(mode: str, stop: int) -> list[int]:
    """Return the frames before frame ``stop`` that a window beginning there sees."""
    return sorted({seen for seen in FRAMES_SEEN[mode](stop, range(stop, stop + 1)) if seen < stop})


def video_attention(
    query: Tensor, key: Tensor, value: Tensor, heads: int, seen: list[list[int]], kernel: Kernel
) -> Tensor:
    """Compute self-attention with keys and values of other frames (Tune-A-Video, section 3.2).

    Args:
        query: projected tokens ``[(b f), n, c]``.
        key, value: projected tokens ``[(b k), m, c]`` of k frames per video; m is n unless another patch of the
            network merges or adds tokens.
        heads: number of attention heads; ``c`` is a multiple of it.
        seen: for every frame of a video, the positions (0 to k - 1) of the frames whose keys it sees, equally many.
        kernel: see :func:`attention_kernel`.

    Returns:
        ``[(b f), n, c]``.
    """
    frames = len(seen)
    videos = len(query) // frames
    key, value = (rearrange(x, "(b k) m c -> b k m c", b=videos) for x in (key, value))
    first, last = seen[0][0], seen[0][-1]
    if all(positions == seen[0] for positions in seen) and set(seen[0]) == set(range(first, last + 1)):
        # one set of keys serves all frames: let their queries form one long sequence instead of copying keys
        key, value = (rearrange(x[:, first : last + 1], "b k m c -> b (k m) c") for x in (key, value))
        query = rearrange(query, "(b f) n c -> b (f n) c", b=videos)
        return rearrange(attend(query, key, value, heads, kernel), "b (f n) c -> (b f) n c", f=frames)
    if seen != [[frame] for frame in range(key.shape[1])]:
        index = torch.tensor(seen).to(key.device, non_blocking=True)
        key, value = (rearrange(_Gather.apply(x, index), "b f s m c -> b f (s m) c") for x in (key, value))
    key, value = (rearrange(x, "b f m c -> (b f) m c") for x in (key, value))
    return attend(query, key, value, heads, kernel)


class _Gather(torch.autograd.Function):
    """Gather frames ``[b, k, m, c]`` by an index ``[f, s]`` into ``[b, f, s, m, c]``.

    Indexing would do the same; its gradient adds up slowly and, on a GPU, in no fixed order.
    """

    @staticmethod
    def forward(ctx: Any, frames: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.frames = frames.shape[1]
        return frames.index_select(1, index.flatten()).unflatten(1, index.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        copies = F.one_hot(index.flatten(), ctx.frames).T.to(gradient)
        summed = copies @ rearrange(gradient, "b f s m c -> b (f s) (m c)")
        return rearrange(summed, "b k (m c) -> b k m c", c=gradient.shape[-1]), None


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, kernel: Kernel) -> Tensor:
    """Compute multi-head attention of tokens ``[b, n, c]`` to keys and values ``[b, m, c]``, giving ``[b, n, c]``."""
    query, key, value = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (query, key, value))
    return rearrange(kernel(query, key, value), "b h n d -> b n (h d)")


def attention_kernel(name: str) -> Kernel:
    """Return the attention kernel called ``name``: ``sdpa`` (torch) or ``xformers``.

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
    attention = attention_in_parts if query.device.type == "mps" else F.scaled_dot_product_attention
    return attention(query, key, value)


def attention_in_parts(query: Tensor, key: Tensor, value: Tensor, largest: int = LARGEST_SCORES) -> Tensor:
    """Compute attention as a :data:`Kernel`, a few queries at a time, so that about ``largest`` scores exist at once.

    While learning, the backward pass recomputes each part.
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

"""`VideoState`: what the patched modules of an inflated U-Net read while a call is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from .attention import Kernel
from .casting import CastWeights
from .checkpointing import SelectiveCheckpointing
from .shared_attention import SharedAttention
from .structure import Block
from .temporal import TemporalAttention
from .text_cache import TextCache
from .tuned_weights import TunedWeights
from .windows import KeptFrames, split_frames


class VideoState:
    """The options of an inflated U-Net and the state of its current call.

    Args:
        unet: the network.
        blocks: its transformer blocks.
        attention: attention mode, one of :data:`.ATTENTION_MODES`.
        kernel: computes self-attention, and cross-attention while learning.
        tuned: the tuned weights, with the temporal attention of every block.
        window: frames computed at once; 0 for all.
        overlap: frames before a window that its temporal attention sees.
    """

    def __init__(
        self,
        unet: nn.Module,
        blocks: list[Block],
        attention: str,
        kernel: Kernel,
        tuned: TunedWeights,
        window: int,
        overlap: int,
    ) -> None:
        self.unet = unet
        self.blocks = blocks
        self.attention = attention
        self.kernel = kernel
        self.tuned = tuned
        self.temporal = temporal = tuned.temporal
        self.temporal_of: dict[nn.Module, TemporalAttention] = {
            block.module: closing for block, closing in zip(blocks, temporal if temporal is not None else ())
        }
        """Temporal attention by transformer block; empty without temporal attention."""
        self.window = window
        self.kept = KeptFrames(overlap)
        self.on_window: Callable[[int, int], None] | None = None
        """Called with (window counted from 1, number of windows) before the network computes each of several."""
        self.gradient_checkpointing = False
        self.compute_dtype: torch.dtype | None = None
        """Precision of the computation; None for that of the weights."""
        self.text_cache = TextCache()
        self.checkpointing = SelectiveCheckpointing()
        self.shared_attention = SharedAttention()

    @property
    def frames(self) -> int:
        """Return the frames per video in the current batch."""
        return len(self.kept.window)

    @contextmanager
    def windows(self, frames: int) -> Iterator[Iterator[range]]:
        """Return the windows of a video of ``frames`` frames; take each one just before its call of the network.

        While learning, there is one window of all frames: the backward pass needs the activations of each.
        """
        windows = split_frames(frames, 0 if self.tuned.learning() else self.window)

        def begin() -> Iterator[range]:
            for number, window in enumerate(windows, start=1):
                if self.on_window and len(windows) > 1:
                    self.on_window(number, len(windows))
                self.kept.begin(window, keeping=window.stop < frames)
                yield window

        try:
            yield begin()
        finally:
            self.kept.clear()

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision that the network computes in."""
        return self.compute_dtype or self.blocks[0].module.attn1.to_k.weight.dtype

    def casting(self) -> AbstractContextManager:
        """Return a context in which weights are cast to the precision of their input, if ``compute_dtype`` is set."""
        return nullcontext() if self.compute_dtype is None else CastWeights()

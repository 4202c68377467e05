"""`VideoState`: what the patched modules of an inflated U-Net read while a call is under way."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from .attention import Kernel
from .casting import CastWeights
from .checkpointing import SelectiveCheckpointing
from .structure import Block
from .temporal import TemporalAttention
from .text_cache import TextCache


class VideoState:
    """The options of an inflated U-Net and the state of its current call.

    Args:
        unet: the network.
        blocks: its transformer blocks.
        attention: attention mode, one of :data:`.ATTENTION_MODES`.
        kernel: computes self-attention, and cross-attention while learning.
        temporal: the temporal attention of every block, in the order of ``blocks``; None without temporal attention.
    """

    def __init__(
        self, unet: nn.Module, blocks: list[Block], attention: str, kernel: Kernel, temporal: nn.ModuleList | None
    ) -> None:
        self.unet = unet
        self.blocks = blocks
        self.attention = attention
        self.kernel = kernel
        self.temporal = temporal
        self.temporal_of: dict[nn.Module, TemporalAttention] = {
            block.module: closing for block, closing in zip(blocks, temporal if temporal is not None else ())
        }
        """Temporal attention by transformer block; empty without temporal attention."""
        self.frames = 1
        """Frames per video in the current batch; set it before calling ``unet`` directly."""
        self.gradient_checkpointing = False
        self.compute_dtype: torch.dtype | None = None
        """Precision of the computation; None for that of the weights."""
        self.text_cache = TextCache()
        self.checkpointing = SelectiveCheckpointing()

    @property
    def dtype(self) -> torch.dtype:
        """The precision that the network computes in."""
        return self.compute_dtype or self.blocks[0].module.attn1.to_k.weight.dtype

    def casting(self) -> AbstractContextManager:
        """Return a context in which weights are cast to the precision of their input, if ``compute_dtype`` is set."""
        return nullcontext() if self.compute_dtype is None else CastWeights()

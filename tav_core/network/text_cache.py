"""The text states of a video: one set for all its frames, projected once per video instead of once per frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from einops import repeat
from torch import Tensor, nn


class TextStates:
    """The text states of the call of a video U-Net under way, and their keys and values where these are kept."""

    def __init__(self) -> None:
        self._per_video: Tensor | None = None
        self._per_frame: Tensor | None = None
        self._kept: dict[nn.Module, Tensor] | None = None
        self._kept_of: Tensor | None = None

    def begin(self, context: Tensor, videos: int, frames: int, dtype: torch.dtype) -> Tensor:
        """Take the context of the call that begins, ``[b, tokens, dim]`` or ``[1, tokens, dim]`` for all videos.

        Returns:
            ``[(b f), tokens, dim]`` in the precision ``dtype`` of the network.
        """
        if self._kept is not None and self._kept_of is not context:
            self._kept, self._kept_of = {}, context
        self._per_video = context.to(dtype)
        self._per_frame = _per_frame(self._per_video, videos, frames)
        return self._per_frame

    def end(self) -> None:
        """Let go of the context of the last call."""
        self._per_video = self._per_frame = None

    def project(self, tokens: Tensor, frames: int, projection: nn.Module, original: Callable) -> Tensor:
        """What ``original``, the forward of ``projection``, gives for ``tokens`` ``[(b f), n, d]``."""
        if tokens is not self._per_frame:
            return original(tokens)
        projected = None if self._kept is None else self._kept.get(projection)
        if projected is None:
            projected = original(self._per_video)
            if self._kept is not None and not projected.requires_grad:
                self._kept[projection] = projected
        return _per_frame(projected, len(tokens) // frames, frames)

    @contextmanager
    def constant(self) -> Iterator[None]:
        """Within this, projections are kept for as long as the same context comes in every call."""
        outer = self._kept, self._kept_of
        self._kept, self._kept_of = {}, None
        try:
            yield
        finally:
            self._kept, self._kept_of = outer


def _per_frame(states: Tensor, videos: int, frames: int) -> Tensor:
    return repeat(states.expand(videos, -1, -1), "b n d -> (b f) n d", f=frames)

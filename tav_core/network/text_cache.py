"""Cross-attention keys and values, projected once per video instead of once per frame and kept over a sampling loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from einops import repeat
from torch import Tensor, nn


class TextCache:
    """The text embeddings of the current call of a video U-Net, and their projections."""

    def __init__(self) -> None:
        self._per_video: Tensor | None = None
        self._per_frame: Tensor | None = None
        self._cached: dict[nn.Module, Tensor] | None = None
        self._cached_for: Tensor | None = None

    def begin(self, context: Tensor, videos: int, frames: int, dtype: torch.dtype) -> Tensor:
        """Set the text embeddings of a call, ``[b, tokens, dim]`` or ``[1, tokens, dim]`` for all videos.

        Returns:
            ``[(b f), tokens, dim]`` in the network's precision ``dtype``.
        """
        if self._cached is not None and self._cached_for is not context:
            self._cached, self._cached_for = {}, context
        self._per_video = context.to(dtype)
        self._per_frame = _per_frame(self._per_video, videos, frames)
        return self._per_frame

    def end(self) -> None:
        """Free the text embeddings of the last call."""
        self._per_video = self._per_frame = None

    def project(self, tokens: Tensor, frames: int, projection: nn.Module, original: Callable) -> Tensor:
        """Return ``original(tokens)`` for tokens ``[(b f), n, d]``; ``original`` is the forward of ``projection``."""
        if tokens is not self._per_frame:
            return original(tokens)
        projected = None if self._cached is None else self._cached.get(projection)
        if projected is None:
            projected = original(self._per_video)
            if self._cached is not None and not projected.requires_grad:
                self._cached[projection] = projected
        return _per_frame(projected, len(tokens) // frames, frames)

    @contextmanager
    def constant(self) -> Iterator[None]:
        """Keep projections, within this context, for as long as every call passes the same context tensor."""
        outer = self._cached, self._cached_for
        self._cached, self._cached_for = {}, None
        try:
            yield
        finally:
            self._cached, self._cached_for = outer


def _per_frame(embeddings: Tensor, videos: int, frames: int) -> Tensor:
    return repeat(embeddings.expand(videos, -1, -1), "b n d -> (b f) n d", f=frames)

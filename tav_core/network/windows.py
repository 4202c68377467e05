"""Windows of frames: a video of any length goes through the network a few frames at a time.

Sparse-causal attention is causal: a frame needs the keys and values of frame 0 and of the previous frame. Every
attention layer keeps those for the next window, which makes windows exact. Two computations are not causal: joint group
norms take the statistics of their window, and temporal attention sees its window and the last ``overlap`` frames
before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn


def split_frames(frames: int, window: int) -> list[range]:
    """Return windows of at most ``window`` frames, equally long up to one; a single one where ``window`` is 0."""
    count = -(-frames // window) if window else 1
    return [range(frames * i // count, frames * (i + 1) // count) for i in range(count)]


class KeptFrames:
    """Keys and values of the frames before the current window, per attention layer.

    Args:
        overlap: frames before a window that temporal attention sees.
    """

    def __init__(self, overlap: int = 0) -> None:
        self.overlap = overlap
        self.window = range(1)
        """Frames of the current call of the network."""
        self._keeping = False
        self._kept: dict[nn.Module, tuple[list[int], Tensor, Tensor]] = {}

    def begin(self, window: range, keeping: bool) -> None:
        """Begin a call on the frames ``window``; ``keeping`` if another window follows."""
        self.window, self._keeping = window, keeping

    def clear(self) -> None:
        """Free all keys and values."""
        self._kept.clear()

    def join(
        self, layer: nn.Module, key: Tensor, value: Tensor, keep: Sequence[int]
    ) -> tuple[list[int], Tensor, Tensor]:
        """Prepend what ``layer`` kept of earlier frames, and keep frames for the next window.

        Args:
            key, value: tokens ``[(b f), n, c]`` of the current window.
            keep: numbers of the frames to keep, of those known here.

        Returns:
            The numbers of the k frames known here, and their keys and values ``[(b k), n, c]``.
        """
        frames, known = len(self.window), list(self.window)
        if not self._keeping and layer not in self._kept:
            return known, key, value
        key, value = (rearrange(x, "(b f) n c -> b f n c", f=frames) for x in (key, value))
        if layer in self._kept:
            numbers, *earlier = self._kept.pop(layer)
            known = numbers + known
            key, value = (torch.cat(pair, dim=1) for pair in zip(earlier, (key, value)))
        if self._keeping and keep:
            places = [known.index(frame) for frame in keep]
            self._kept[layer] = list(keep), key[:, places], value[:, places]
        return known, *(rearrange(x, "b f n c -> (b f) n c") for x in (key, value))

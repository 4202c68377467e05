"""Windows of frames: a video of any length goes through the network a few frames at a time.

Sparse-causal attention is causal: a frame needs the keys and values of frame 0 and of the previous frame. Every
attention layer keeps those for the next window, which makes windows exact. Two computations are not causal. Joint group
norms take the statistics of the first window for its frames, and from there on those of the last frames, as many as a
window has. Temporal attention sees as many frames too: the last ones up to its own, as far back as the ``overlap``
reaches before the window, and later ones in place of those that are missing. Both change from frame to frame without a
jump between windows where the overlap is a window less one frame.
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


def frames_in_time(window: range, known: int, overlap: int) -> list[range]:
    """Return the frames that temporal attention sees, for every frame of ``window``, as positions among those known.

    Args:
        known: number of neighbouring frames known, which end with those of the window.
        overlap: of those, as many may lie before the window.
    """
    if window.start == 0:
        return [range(known)] * len(window)
    span, earlier = max(len(window), overlap + 1), known - len(window)
    firsts = [max(0, earlier + place + 1 - span) for place in range(len(window))]
    return [range(first, min(first + span, known)) for first in firsts]


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
        self._moments: dict[nn.Module, Tensor] = {}

    def begin(self, window: range, keeping: bool) -> None:
        """Begin a call on the frames ``window``; ``keeping`` if another window follows."""
        self.window, self._keeping = window, keeping

    def clear(self) -> None:
        """Free all that is kept."""
        self._kept.clear()
        self._moments.clear()

    def single(self) -> bool:
        """Return whether the current window is the whole video."""
        return self.window.start == 0 and not self._keeping

    def running_mean(self, layer: nn.Module, moments: Tensor, frames: int) -> Tensor:
        """Average the moments of each frame ``[f, ...]`` with those of the frames before it, ``frames`` in all.

        Frames of the first window have the mean of that window.
        """
        earlier = self._moments.get(layer, moments[:0])
        known = torch.cat([earlier, moments])
        self._moments[layer] = known[max(0, len(known) - frames + 1) :]
        if self.window.start == 0:
            return moments.mean(dim=0, keepdim=True).expand_as(moments)
        ends = range(len(earlier) + 1, len(known) + 1)
        return torch.stack([known[max(0, end - frames) : end].mean(dim=0) for end in ends])

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

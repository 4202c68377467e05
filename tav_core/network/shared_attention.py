"""Self-attention of one call of the network that takes its queries and keys from another call.

Queries and keys say which places of a video belong together, values what is seen there: an edit that takes the first
two from the clip keeps its layout (Plug-and-Play, arXiv 2211.12572; FateZero, arXiv 2303.09535).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class SharedAttention:
    """Queries and keys of every self-attention layer, recorded in one call and used in the next."""

    def __init__(self) -> None:
        self._recorded: dict[tuple[nn.Module, int], tuple[Tensor, Tensor]] = {}
        self._recording = self._following = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record queries and keys of the calls within this context, which are of one video."""
        self._recorded.clear()
        self._recording = True
        try:
            yield
        except BaseException:
            self._recorded.clear()
            raise
        finally:
            self._recording = False

    @contextmanager
    def following(self) -> Iterator[None]:
        """Let every video within this context take the recorded queries and keys, which are freed at its end."""
        self._following = True
        try:
            yield
        finally:
            self._following = False
            self._recorded.clear()

    def exchange(self, layer: nn.Module, first_frame: int, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Record or replace the queries and keys ``[(b f), n, c]`` of a layer in the window that begins with a frame.

        Raises:
            ValueError: the recorded ones have other shapes.
        """
        if self._recording:
            self._recorded[layer, first_frame] = query, key
        if not self._following:
            return query, key
        recorded = self._recorded[layer, first_frame]
        if any(len(x) % len(r) or x.shape[1:] != r.shape[1:] for x, r in zip((query, key), recorded)):
            raise ValueError(
                "The attention of the reconstruction does not fit that of the edit: set structure to 0, or remove "
                "patches that cut or merge tokens at random, such as HyperTile."
            )
        return tuple(r.repeat(len(x) // len(r), 1, 1) for x, r in zip((query, key), recorded))

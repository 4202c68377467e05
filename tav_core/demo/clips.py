"""Clips of the drawn world: one scene whose figure goes through the poses of its verb."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .figures import VERBS
from .world import Scene, Words, draw, random_scene

PAN = {verb: 3.0 if verb == "running" else 0.0 for verb in VERBS}
"""Pixels per frame that the camera moves along with the figure."""


def clip_scenes(words: Words, frames: int, seed: int, cycles: float = 1.0) -> list[Scene]:
    """Return the scenes of a clip's frames: everything unsaid stays, the phase and the camera go on.

    Args:
        words: what the clip shows.
        frames: how many.
        seed: decides everything unsaid.
        cycles: how often the verb's cycle is gone through; whole numbers loop without a seam.
    """
    first = random_scene(words, seed)
    step = cycles / frames
    return [
        replace(
            first,
            phase=tuple((start + i * step) % 1 for start in first.phase),
            camera=first.camera + i * PAN[words.verb] * first.facing,
        )
        for i in range(frames)
    ]


def draw_clip(words: Words, frames: int = 12, seed: int = 0, cycles: float = 1.0) -> Tensor:
    """Draw a clip; arguments as for clip_scenes.

    Returns:
        [frames, 96, 96, 3] float32 in 0..1.
    """
    pictures = np.stack([draw(scene) for scene in clip_scenes(words, frames, seed, cycles)])
    return torch.from_numpy(pictures).float() / 255

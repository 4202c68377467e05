"""Clips of the drawn world: one scene whose object moves."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import torch
from einops import rearrange, repeat
from torch import Tensor

from .world import Scenes, Words, draw, random_scenes

MOTIONS = {
    "line": ((20.0, 22.0), (44.0, 42.0)),
    "arc": ((20.0, 40.0), (44.0, 40.0)),
    "bounce": ((20.0, 44.0), (44.0, 44.0)),
}
"""The kinds of track, and where those of example_clip start and end, in pixels."""


def track(kind: str, start: tuple[float, float], end: tuple[float, float], frames: int) -> Tensor:
    """Centres of a moving object.

    Args:
        kind: "line" (straight, even speed), "arc" (half an ellipse between the points) or
            "bounce" (straight along, with two bounces upwards).
        start, end: (x, y) in pixels.
        frames: how many.

    Returns:
        [frames, 2] x and y.
    """
    t = torch.linspace(0, 1, frames)
    way = torch.tensor(end) - torch.tensor(start)
    line = torch.tensor(start) + t[:, None] * way
    if kind == "line":
        return line
    if kind == "arc":
        across = torch.stack([-way[1], way[0]]) / 2
        turn = math.pi * t[:, None]
        return torch.tensor(start) + (1 - turn.cos()) / 2 * way + turn.sin() * across * 0.5
    if kind == "bounce":
        return line - torch.stack([torch.zeros(frames), 10 * (2 * math.pi * t).sin().abs()], dim=-1)
    raise ValueError(f"unknown track {kind!r}; expected line, arc or bounce.")


def draw_clip(words: Words, centres: Tensor, seed: int = 0, size: float | None = None) -> Tensor:
    """One clip: a single scene whose object moves, everything unsaid staying as it is.

    Args:
        words: what the clip shows.
        centres: [frames, 2] x and y of the object in pixels, see track.
        seed: decides everything unsaid.
        size: the object's size in pixels, instead of one from the seed.

    Returns:
        [frames, 64, 64, 3] float32 in 0..1.
    """
    scene = random_scenes([words], torch.Generator().manual_seed(seed))
    frames = len(centres)
    film = Scenes(**{f.name: repeat(getattr(scene, f.name), "1 ... -> f ...", f=frames) for f in fields(scene)})
    film = replace(film, x=centres[:, 0].float(), y=centres[:, 1].float())
    if size is not None:
        film = replace(film, size=torch.full((frames,), float(size)))
    return rearrange(draw(film), "f c h w -> f h w c")


def example_clip(words: Words, motion: str, frames: int, seed: int) -> Tensor:
    """A clip that shows its motion well: large and whole in every frame.

    Args:
        motion: one of MOTIONS.

    Returns:
        [frames, 64, 64, 3] float32 in 0..1.

    Raises:
        ValueError: the object has the background's colour.
    """
    if words.colour == words.background:
        raise ValueError(
            f"A {words.colour} {words.shape} cannot be seen on a {words.background} background: choose two different "
            "colours."
        )
    return draw_clip(words, track(motion, *MOTIONS[motion], frames), seed, size=13.0)

"""The drawn world of the demo model: one coloured shape on a textured background, 64x64 pixels.

A caption says four things: style, object colour, shape and background colour ("a striped red circle on a blue
background"). Everything else is left unsaid and differs between any two pictures of the same caption: place, size,
rotation, shade, the texture of the object and of the background, the direction of the light, and the angle, period
and phase of the stripes. Frames of one clip share all of these except the place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import product

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import grid_sample

SIZE = 64
"""Width and height of a picture, and the unit that places and sizes are given in, in pixels."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.20, 0.18),
    "yellow": (0.88, 0.75, 0.20),
    "green": (0.20, 0.62, 0.28),
    "blue": (0.20, 0.38, 0.82),
    "purple": (0.58, 0.24, 0.70),
    "white": (0.92, 0.92, 0.90),
}
SHAPES = ("circle", "cross", "triangle", "star")
STYLES = ("plain", "striped", "outlined")
HELD_OUT = (("purple", "star"), ("green", "cross"), ("white", "triangle"))
"""Pairs of object colour and shape that the demo model never sees while it is trained."""

SIZES = (12.5, 15.5)
"""Smallest and largest size in training pictures: the radius of the circle that has the shape's area, in pixels."""
ANGLES = (-15.0, 15.0)
"""Rotations in training pictures, in degrees."""
INK = 0.06
"""Brightness of outlines."""
OUTLINE_WIDTH = 3.2
STRIPE_DARKNESS = 0.3


@dataclass(frozen=True)
class Words:
    """What a caption says. Every field is one of the module's names: COLOURS, SHAPES, STYLES."""

    colour: str
    shape: str
    background: str
    style: str = "plain"

    @property
    def caption(self) -> str:
        """The plain-English caption, for instance "an outlined red circle on a blue background"."""
        look = {"plain": "a", "striped": "a striped", "outlined": "an outlined"}[self.style]
        return f"{look} {self.colour} {self.shape} on a {self.background} background"

    @property
    def held_out(self) -> bool:
        """Whether training leaves this caption out."""
        return (self.colour, self.shape) in HELD_OUT


def all_words() -> list[Words]:
    """Every caption of the world, 360 of them: the object never has the background's colour."""
    names = tuple(COLOURS)
    return [Words(c, s, b, st) for c, s, b, st in product(names, SHAPES, names, STYLES) if c != b]


def parse_caption(caption: str) -> Words:
    """Read a caption of this world back into its words.

    Raises:
        ValueError: the caption is not of the form that Words.caption writes.
    """
    for words in all_words():
        if words.caption == " ".join(caption.lower().split()):
            return words
    raise ValueError(
        f"{caption!r} is not a caption of the drawn world; expected one like "
        f"'{Words('red', 'circle', 'blue', 'striped').caption}' with colours {', '.join(COLOURS)} "
        f"and shapes {', '.join(SHAPES)}."
    )


@dataclass
class Scenes:
    """Everything needed to draw n pictures; every field is a tensor whose first dimension is n."""

    colour: Tensor  # index into COLOURS
    background: Tensor  # index into COLOURS
    shape: Tensor  # index into SHAPES
    style: Tensor  # index into STYLES
    x: Tensor  # centre, pixels from the left, 0..64
    y: Tensor  # centre, pixels from the top, 0..64
    size: Tensor  # radius of the circle of the same area, pixels
    angle: Tensor  # radians
    object_tint: Tensor  # [n, 3] factor on the object's colour: shade and a little hue
    background_tint: Tensor  # [n, 3]
    object_light: Tensor  # [n, 2] brightness slope across the object
    background_light: Tensor  # [n, 2] brightness slope across the picture
    object_texture: Tensor  # [n, 2, 16, 16] noise grids, coarse and fine, in the object's own coordinates
    background_texture: Tensor  # [n, 2, 16, 16]
    stripe_angle: Tensor  # radians, in the object's own coordinates
    stripe_period: Tensor  # pixels
    stripe_phase: Tensor  # radians

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice | Tensor) -> Scenes:
        return Scenes(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def random_scenes(words: list[Words], generator: torch.Generator) -> Scenes:
    """Scenes for the given words, with everything unsaid drawn at random from the ranges of training.

    Args:
        words: one entry per scene.
        generator: CPU generator; the same state gives the same scenes.
    """
    n = len(words)
    colours = list(COLOURS)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    def index(names: list[str] | tuple[str, ...], values: list[str]) -> Tensor:
        return torch.tensor([names.index(v) for v in values])

    size = uniform(*SIZES)
    margin = 1.45 * size + 1.0
    light = [uniform(0, 2 * math.pi) for _ in range(2)]
    slopes = [uniform(0.0, 0.22)[:, None] * torch.stack([angle.cos(), angle.sin()], dim=-1) for angle in light]
    return Scenes(
        colour=index(colours, [w.colour for w in words]),
        background=index(colours, [w.background for w in words]),
        shape=index(SHAPES, [w.shape for w in words]),
        style=index(STYLES, [w.style for w in words]),
        x=margin + (SIZE - 2 * margin) * uniform(0, 1),
        y=margin + (SIZE - 2 * margin) * uniform(0, 1),
        size=size,
        angle=uniform(*ANGLES) * math.pi / 180,
        object_tint=uniform(0.78, 1.08, 1) + uniform(-0.03, 0.03, 3),
        background_tint=uniform(0.78, 1.08, 1) + uniform(-0.03, 0.03, 3),
        object_light=slopes[0],
        background_light=slopes[1],
        object_texture=torch.randn(n, 2, 16, 16, generator=generator),
        background_texture=torch.randn(n, 2, 16, 16, generator=generator),
        stripe_angle=uniform(0, math.pi),
        stripe_period=uniform(9.5, 12.0),
        stripe_phase=uniform(0, 2 * math.pi),
    )


def signed_distance(shape: str, u: Tensor, v: Tensor, size: Tensor | float) -> Tensor:
    """Distance to the shape's edge, negative inside, in pixels; v points down. All shapes of one size have one area.

    Args:
        shape: one of SHAPES.
        u, v: coordinates from the shape's centre (centroid), any broadcastable shape.
        size: radius of the circle of the same area.
    """
    if shape == "circle":
        return torch.hypot(u, v) - size
    if shape == "cross":
        longer, shorter = torch.maximum(u.abs(), v.abs()), torch.minimum(u.abs(), v.abs())
        along, across = longer - 1.1534 * size, shorter - 0.4152 * size  # of the nearer of two crossed bars
        return torch.hypot(along.clamp(min=0), across.clamp(min=0)) + torch.maximum(along, across).clamp(max=0)
    if shape == "triangle":
        slanted = 0.8660 * u.abs() - 0.5 * v
        return torch.maximum(slanted, v) - 0.7776 * size
    if shape == "star":
        # Fold the plane into one tenth of the star, then take the distance to its one edge.
        u, v = u.abs(), -v
        for a, b in ((0.80902, -0.58779), (-0.80902, -0.58779)):
            over = 2 * (a * u + b * v).clamp(min=0)
            u, v = u - over * a, v - over * b
        radius = 1.5413 * size
        u, v = u.abs(), v - radius
        a, b = 0.45 * 0.58779, 0.45 * 0.80902 - 1.0
        along = torch.minimum(((u * a + v * b) / (a * a + b * b)).clamp(min=0), torch.as_tensor(radius))
        return torch.hypot(u - a * along, v - b * along) * torch.sign(v * a - u * b)
    raise ValueError(f"unknown shape {shape!r}; expected one of {', '.join(SHAPES)}.")


def draw(scenes: Scenes, resolution: int = SIZE) -> Tensor:
    """Draw the scenes.

    Args:
        scenes: n scenes.
        resolution: width and height of the pictures in pixels; places and sizes scale along.

    Returns:
        [n, 3, resolution, resolution] float32 in 0..1.
    """
    line = (torch.arange(resolution) + 0.5) * SIZE / resolution
    py, px = torch.meshgrid(line, line, indexing="ij")
    per_scene = {f.name: getattr(scenes, f.name) for f in fields(scenes)}
    x, y, angle, size = (rearrange(per_scene[k], "n -> n 1 1") for k in ("x", "y", "angle", "size"))
    u = (px - x) * angle.cos() + (py - y) * angle.sin()
    v = (py - y) * angle.cos() - (px - x) * angle.sin()

    palette = torch.tensor(list(COLOURS.values()))
    ground = _lit(px / 32 - 1, py / 32 - 1, scenes.background_light, scenes.background_texture)
    back = (palette[scenes.background] * scenes.background_tint)[:, :, None, None] * ground[:, None]
    surface = _lit(u / 24, v / 24, 2 * scenes.object_light, scenes.object_texture)

    wave = (u * _col(scenes.stripe_angle.cos()) + v * _col(scenes.stripe_angle.sin())) / _col(scenes.stripe_period)
    stripes = torch.sigmoid(6 * torch.sin(2 * math.pi * wave + _col(scenes.stripe_phase)))
    striped = _col(scenes.style == STYLES.index("striped"))
    surface = surface * torch.where(striped, STRIPE_DARKNESS + (1 - STRIPE_DARKNESS) * stripes, 1.0)
    front = (palette[scenes.colour] * scenes.object_tint)[:, :, None, None] * surface[:, None]

    distance = torch.zeros_like(u)
    for i, shape in enumerate(SHAPES):
        mine = scenes.shape == i
        if mine.any():
            distance[mine] = signed_distance(shape, u[mine], v[mine], size[mine])
    sharpness = resolution / SIZE
    line_of_ink = (0.5 + (distance + OUTLINE_WIDTH) * sharpness).clamp(0, 1)
    ink = torch.where(_col(scenes.style == STYLES.index("outlined")), line_of_ink, 0.0)[:, None]
    front = front * (1 - ink) + INK * ink
    alpha = (0.5 - distance * sharpness).clamp(0, 1)[:, None]
    return (back * (1 - alpha) + front * alpha).clamp(0, 1)


def _col(value: Tensor) -> Tensor:
    return rearrange(value, "n -> n 1 1")


def _lit(u: Tensor, v: Tensor, slope: Tensor, texture: Tensor) -> Tensor:
    """Brightness [n, h, w] around 1: a slope of light and two octaves of noise, at coordinates in about -1..1."""
    n = len(slope)
    u, v = u.expand(n, *u.shape[-2:]), v.expand(n, *v.shape[-2:])
    light = u * slope[:, 0, None, None] + v * slope[:, 1, None, None]
    where = torch.stack([u, v], dim=-1)
    options = {"mode": "bilinear", "padding_mode": "border", "align_corners": False}
    coarse = grid_sample(texture[:, :1, :5, :5], where, **options)[:, 0]
    fine = grid_sample(texture[:, 1:], where, **options)[:, 0]
    return 1 + light + 0.09 * coarse + 0.09 * fine

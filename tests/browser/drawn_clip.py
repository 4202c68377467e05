"""A drawn clip for the example workflows, which ask for one of a man who is skiing."""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

SIZE = 320
FPS = 24
SCALE = 2  # drawn larger, for smooth edges


def skiing(frames: int = 48) -> torch.Tensor:
    """Draw a man who skis down a slope, from left to right: [frames, 320, 320, 3], 0..1."""
    drawn = []
    for i in range(frames):
        picture = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), (151, 199, 233))
        draw = ImageDraw.Draw(picture)
        _shape(draw, (0, 200), (80, 110), (150, 190), (235, 90), (320, 200), (320, 320), (0, 320), fill=(190, 206, 222))
        _shape(draw, (0, 130), (320, 260), (320, 320), (0, 320), fill=(246, 249, 252))
        x = 50 + 220 * i / (frames - 1)
        _skier(draw, x, 130 + x * 130 / 320 - 42, bend=8 * abs(i / (frames - 1) * 4 % 2 - 1))
        drawn.append(np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(drawn)).float() / 255


def _skier(draw: ImageDraw.ImageDraw, x: float, y: float, bend: float) -> None:
    """Draw a man whose feet are 40 under y; `bend` lowers him."""
    hip, shoulder, hand = (x, y + bend), (x + 16, y - 26 + bend), (x + 32, y - 10 + bend)
    _line(draw, hand, (x + 4, y + 42), width=2, fill=(60, 60, 70))
    _line(draw, (x - 36, y + 26), (x + 38, y + 56), (x + 46, y + 54), width=4, fill=(204, 40, 48))
    _line(draw, hip, (x + 15, y + 20 + bend / 2), (x, y + 40), width=11, fill=(38, 44, 66))
    _line(draw, hip, shoulder, width=18, fill=(240, 176, 32))
    _line(draw, shoulder, (x + 20, y - 6 + bend), hand, width=8, fill=(214, 148, 20))
    _line(draw, (x + 21, y - 40 + bend), (x + 22, y - 40 + bend), width=21, fill=(204, 40, 48))
    _line(draw, (x + 25, y - 36 + bend), (x + 26, y - 36 + bend), width=14, fill=(238, 196, 164))


def _line(draw: ImageDraw.ImageDraw, *points: tuple[float, float], width: float, fill: Any) -> None:
    """Draw a line with round ends and corners."""
    points = [(x * SCALE, y * SCALE) for x, y in points]
    radius = width * SCALE / 2
    draw.line(points, fill, round(2 * radius))
    for x, y in points:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill)


def _shape(draw: ImageDraw.ImageDraw, *corners: tuple[float, float], fill: Any) -> None:
    draw.polygon([(x * SCALE, y * SCALE) for x, y in corners], fill)

"""Draw the loss curve of a tuning."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_MARGIN = 56
_INK, _GRID, _RAW, _SMOOTH = (60, 60, 60), (225, 225, 225), (170, 195, 225), (30, 90, 160)


def loss_plot(losses: list[float]) -> Tensor:
    """Draw the loss of every step, and its running mean in bold: a single loss depends mostly on its timestep.

    Args:
        losses: one per step, at least one.

    Returns:
        ``[432, 768, 3]``, float 0 to 1.
    """
    scale, width, height = 2, 768, 432
    image = Image.new("RGB", (width * scale, height * scale), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12 * scale)
    left, top = _MARGIN * scale, 24 * scale
    right, bottom = (width - 20) * scale, (height - 44) * scale
    highest = max(losses) * 1.05 or 1.0

    def point(step: int, loss: float) -> tuple[float, float]:
        return left + (right - left) * step / max(1, len(losses) - 1), bottom - (bottom - top) * loss / highest

    for i in range(5):
        y = bottom - (bottom - top) * i / 4
        draw.line([(left, y), (right, y)], fill=_GRID, width=scale)
        draw.text((left - 6 * scale, y), f"{highest * i / 4:.3g}", fill=_INK, font=font, anchor="rm")
    for step in sorted({0, (len(losses) - 1) // 2, len(losses) - 1}):
        draw.text((point(step, 0)[0], bottom + 6 * scale), str(step + 1), fill=_INK, font=font, anchor="mt")
    draw.text(((left + right) / 2, bottom + 24 * scale), "step", fill=_INK, font=font, anchor="mt")
    draw.text((left, top - 6 * scale), "loss (bold: running mean)", fill=_INK, font=font, anchor="lb")
    _curve(draw, [point(i, x) for i, x in enumerate(losses)], _RAW, scale)
    _curve(draw, [point(i, x) for i, x in enumerate(_running_mean(losses))], _SMOOTH, 3 * scale)
    return torch.from_numpy(np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), np.float32) / 255)


def _curve(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: tuple, width: int) -> None:
    if len(points) > 1:
        draw.line(points, fill=colour, width=width, joint="curve")
    x, y = points[-1]
    draw.ellipse([x - width, y - width, x + width, y + width], fill=colour)


def _running_mean(losses: list[float]) -> list[float]:
    window, sums = max(1, len(losses) // 10), np.cumsum([0.0, *losses])
    places = np.arange(len(losses))
    first, end = np.maximum(0, places - window), np.minimum(len(losses), places + window + 1)
    return ((sums[end] - sums[first]) / (end - first)).tolist()

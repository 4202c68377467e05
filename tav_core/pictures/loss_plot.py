"""Draw the loss curve of a tuning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

_MARGIN = 56
_INK, _GRID, _RAW, _SMOOTH = (60, 60, 60), (225, 225, 225), (170, 195, 225), (30, 90, 160)


def loss_plot(losses: list[float], validation: Sequence[tuple[int, float]] = ()) -> Tensor:
    """Draw the loss of every step faintly, since it depends mostly on its timestep, and a bold curve over it.

    Args:
        losses: one per step, at least one.
        validation: (step, validation loss) for the bold curve; without any, it is the running mean of the losses.

    Returns:
        ``[432, 768, 3]``, float 0 to 1.
    """
    scale, width, height = 2, 768, 432
    image = Image.new("RGB", (width * scale, height * scale), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12 * scale)
    left, top = _MARGIN * scale, 24 * scale
    right, bottom = (width - 20) * scale, (height - 44) * scale
    bold = list(validation) or list(enumerate(_running_mean(losses), start=1))
    highest = max(*losses, *(loss for _, loss in bold)) * 1.05 or 1.0
    first, last = min(1, bold[0][0]), max(2, len(losses))

    def point(step: int, loss: float) -> tuple[float, float]:
        return left + (right - left) * (step - first) / (last - first), bottom - (bottom - top) * loss / highest

    for i in range(5):
        y = bottom - (bottom - top) * i / 4
        draw.line([(left, y), (right, y)], fill=_GRID, width=scale)
        draw.text((left - 6 * scale, y), f"{highest * i / 4:.3g}", fill=_INK, font=font, anchor="rm")
    for step in sorted({first, (len(losses) + 1) // 2, len(losses)}):
        draw.text((point(step, 0)[0], bottom + 6 * scale), str(step), fill=_INK, font=font, anchor="mt")
    draw.text(((left + right) / 2, bottom + 24 * scale), "step", fill=_INK, font=font, anchor="mt")
    title = f"loss (bold: {'validation' if validation else 'running mean'})"
    draw.text((left, top - 6 * scale), title, fill=_INK, font=font, anchor="lb")
    _curve(draw, [point(step, loss) for step, loss in enumerate(losses, start=1)], _RAW, scale)
    _curve(draw, [point(step, loss) for step, loss in bold], _SMOOTH, 3 * scale)
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

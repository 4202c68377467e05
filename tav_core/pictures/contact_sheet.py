"""Draw clips into one picture: a labelled row each, time from left to right."""

import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..files import replacing
from .image import font_for, shorten, to_pil, wrap

CELL = 256  # longest side in pixels: larger frames are scaled down to it
SMALL_CELL = 128  # smaller frames are scaled up to this
GAP = 4
MARGIN = 16
LEAST_WIDTH = 480  # room for a label
FONT_SIZE = 20
LABEL_LINES = 2
BACKGROUND, INK = (24, 24, 24), (240, 240, 240)


def contact_sheet(
    path: str | os.PathLike, rows: Sequence[torch.Tensor], labels: Sequence[str], frames_shown: int = 8
) -> None:
    """Write a PNG with one row per clip: its label, and below it evenly spaced frames, the first and last among them.

    Frames larger than 256 pixels are scaled down, those smaller than 128 up. A label takes up to two lines and is
    shortened beyond that. The file appears whole or not at all; missing folders are created.

    Args:
        path: the PNG.
        rows: float tensors [f, h, w, 3], RGB in 0..1 (values outside are clamped); f, h and w may differ.
        labels: one text per row.
        frames_shown: frames per row, at least 1; a shorter clip shows all it has.

    Raises:
        ValueError: rows and labels differ in number, there are none, or `frames_shown` is below 1.
    """
    if len(rows) != len(labels) or not rows:
        raise ValueError(f"Got {len(rows)} rows and {len(labels)} labels: give at least one row, and a label for each.")
    if frames_shown < 1:
        raise ValueError(f"frames_shown is {frames_shown}, but must be at least 1.")
    strips = [_strip(frames, frames_shown) for frames in rows]
    width = max(LEAST_WIDTH, *(strip.width for strip in strips))
    font = font_for(labels, FONT_SIZE)
    line_height = round(FONT_SIZE * 1.3)
    texts = [_lines(label, font, width) for label in labels]
    heights = [line_height * len(lines) + strip.height for lines, strip in zip(texts, strips, strict=True)]

    sheet = Image.new("RGB", (width + 2 * MARGIN, sum(heights) + MARGIN * (len(rows) + 1)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for lines, strip, height in zip(texts, strips, heights, strict=True):
        for number, line in enumerate(lines):
            draw.text((MARGIN, top + number * line_height), line, INK, font)
        sheet.paste(strip, (MARGIN, top + height - strip.height))
        top += height + MARGIN
    with replacing(path) as partial:
        sheet.save(partial, format="PNG")


def shown_frames(frames: int, frames_shown: int = 8) -> list[int]:
    """Return the numbers of the frames that :func:`contact_sheet` shows of a clip of ``frames`` frames."""
    return np.linspace(0, frames - 1, min(frames_shown, frames)).round().astype(int).tolist()


def _strip(frames: torch.Tensor, frames_shown: int) -> Image.Image:
    chosen = frames[shown_frames(len(frames), frames_shown)]
    count = len(chosen)
    _, height, width, _ = chosen.shape
    longest = max(height, width)
    scale = min(max(longest, SMALL_CELL), CELL) / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    strip = Image.new("RGB", (count * (size[0] + GAP) - GAP, size[1]), BACKGROUND)
    for number, frame in enumerate(chosen):
        strip.paste(to_pil(frame).resize(size, Image.Resampling.LANCZOS), (number * (size[0] + GAP), 0))
    return strip


def _lines(label: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Wrap a label into at most LABEL_LINES lines of the width, with an ellipsis if it is too long."""
    lines = wrap(label, font, width)
    if len(lines) > LABEL_LINES:
        lines[LABEL_LINES - 1 :] = [" ".join(lines[LABEL_LINES - 1 :])]
    return [shorten(line, font, width) for line in lines]

"""Convert frames to 8-bit pictures, and fit text into them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from PIL import Image, ImageFont
from torch import Tensor

_NO_LETTER = "\uffff"
_WIDER_FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSerifCJK-Regular.ttc", "wqy-zenhei.ttc", "msyh.ttc", "PingFang.ttc",
    "Hiragino Sans GB.ttc", "Arial Unicode.ttf", "DejaVuSans.ttf", "NotoSans-Regular.ttf", "arial.ttf",
)  # fmt: skip
"""Fonts of Linux, Windows and macOS with more letters; Chinese ones first, which have the others too."""


def to_uint8(frames: Tensor) -> np.ndarray:
    """Convert floats in 0..1 (others are clamped), of any shape, to uint8 0..255 on the CPU."""
    return (frames.detach().float().clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()


def to_pil(frame: Tensor) -> Image.Image:
    """Convert a frame [h, w, 3], RGB in 0..1, to a Pillow image."""
    return Image.fromarray(to_uint8(frame))


def darkened(frames: Tensor, mask: Tensor) -> Tensor:
    """Darken frames [f, h, w, 3] outside of their masks [f, h, w], to a quarter where these are 0."""
    return frames * (0.25 + 0.75 * mask[..., None])


def font_for(texts: Sequence[str], size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font, or a system font if only that has all letters of the texts."""
    usual = ImageFont.load_default(size)
    letters = set("".join(texts))
    if not letters <= _drawn(usual, letters):
        for name in _WIDER_FONTS:
            with suppress(OSError):
                font = ImageFont.truetype(name, size)
                if letters <= _drawn(font, letters):
                    return font
    return usual


def _drawn(font: ImageFont.FreeTypeFont, letters: set[str]) -> set[str]:
    """Return the letters that the font can draw: those not rendered as its missing-glyph box."""
    missing = bytes(font.getmask(_NO_LETTER))
    return {letter for letter in letters if letter.isspace() or bytes(font.getmask(letter)) != missing}


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Wrap text into lines of at most `width` pixels; a longer word gets a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def shorten(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Shorten a line with an ellipsis if it is wider than `width` pixels."""
    if font.getlength(line) <= width:
        return line
    fits = bisect_left(range(len(line)), True, key=lambda end: font.getlength(line[: end + 1] + "…") > width)
    return line[:fits].rstrip() + "…"

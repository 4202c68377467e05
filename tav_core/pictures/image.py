"""Frames as pictures of 8 bits, and text that fits into them."""

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
"""Where systems have more letters: of Linux, Windows and macOS, Chinese ones first, as they have the others too."""


def eight_bits(frames: Tensor) -> np.ndarray:
    """Floats in 0..1 (values outside are clamped), of any shape, as uint8 0..255 in main memory."""
    return (frames.detach().float().clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()


def picture(frame: Tensor) -> Image.Image:
    """A frame [h, w, 3], RGB in 0..1, as Pillow has it."""
    return Image.fromarray(eight_bits(frame))


def font_for(texts: Sequence[str], size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, or, where it lacks a letter of the texts, one of the system's that has them all."""
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
    """Those of the letters that the font has, which it does not draw as it does what is no letter."""
    missing = bytes(font.getmask(_NO_LETTER))
    return {letter for letter in letters if letter.isspace() or bytes(font.getmask(letter)) != missing}


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The text in lines that fit `width` pixels, as far as words can be parted."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def shorten(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The line, cut and ended with an ellipsis where it is wider than `width` pixels."""
    if font.getlength(line) <= width:
        return line
    fits = bisect_left(range(len(line)), True, key=lambda end: font.getlength(line[: end + 1] + "…") > width)
    return line[:fits].rstrip() + "…"

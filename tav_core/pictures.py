"""Frames as pictures of 8 bits, and text that fits into them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageFont
from torch import Tensor


def eight_bits(frames: Tensor) -> np.ndarray:
    """Floats in 0..1 (values outside are clamped), of any shape, as uint8 0..255 in main memory."""
    return (frames.detach().float().clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()


def picture(frame: Tensor) -> Image.Image:
    """A frame [h, w, 3], RGB in 0..1, as Pillow has it."""
    return Image.fromarray(eight_bits(frame))


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
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"

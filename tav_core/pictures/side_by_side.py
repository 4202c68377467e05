"""Put videos side by side in one video, each below its name."""

from collections.abc import Sequence

import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont

from .contact_sheet import BACKGROUND, INK
from .image import font_for, shorten

GAP = 8  # pixels between two videos


def comparison_labels(text: str, count: int) -> list[str]:
    """Return one label for each of `count` videos: the lines of `text`; "source", "result 1", ... for empty ones."""
    lines = [line.strip() for line in text.splitlines()] + [""] * count
    usual = ["source", *(f"result {number}" for number in range(1, count))]
    return [line or name for line, name in zip(lines, usual)]


def side_by_side(clips: Sequence[torch.Tensor], labels: Sequence[str]) -> torch.Tensor:
    """Lay out videos from left to right, all as high as the highest and as long as the longest.

    A shorter video holds its last frame. Labels are above the videos, and shortened to their width.

    Args:
        clips: float tensors [f, h, w, 3 or more], RGB first, in 0..1 (values outside are clamped); sizes may differ.
        labels: one text per clip.

    Returns:
        float32 tensor [frames, height, width, 3] on the CPU, height and width even.

    Raises:
        ValueError: clips and labels differ in number, or there are none.
    """
    if len(clips) != len(labels) or not clips:
        raise ValueError(
            f"Got {len(clips)} clips and {len(labels)} labels: give at least one clip, and a label for each."
        )
    height = max(clip.shape[1] for clip in clips)
    clips = [_at_height(clip[..., :3].detach().float().cpu(), height) for clip in clips]
    font = font_for(labels, max(12, height // 24))
    bar = 2 * font.size

    frames = max(len(clip) for clip in clips)
    width = sum(clip.shape[2] for clip in clips) + GAP * (len(clips) - 1)
    background = torch.tensor(BACKGROUND) / 255
    sheet = background.repeat(frames, _even(bar + height), _even(width), 1)
    left = 0
    for clip, label in zip(clips, labels):
        right = left + clip.shape[2]
        sheet[:, :bar, left:right] = _label(label, font, right - left, bar)
        sheet[: len(clip), bar : bar + height, left:right] = clip
        sheet[len(clip) :, bar : bar + height, left:right] = clip[-1]
        left = right + GAP
    return sheet


def _even(size: int) -> int:
    """Round up to an even size, as yuv420p needs."""
    return size + size % 2


def _at_height(clip: torch.Tensor, height: int) -> torch.Tensor:
    _, old_height, old_width, _ = clip.shape
    if old_height != height:
        size = height, max(1, round(old_width * height / old_height))
        pixels = rearrange(clip, "f h w c -> f c h w")
        pixels = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True)
        clip = rearrange(pixels, "f c h w -> f h w c")
    return clip.clamp(0, 1)


def _label(text: str, font: ImageFont.FreeTypeFont, width: int, height: int) -> torch.Tensor:
    """Draw text in the middle of a bar, float [height, width, 3]."""
    bar = Image.new("RGB", (width, height), BACKGROUND)
    text = shorten(text, font, width - font.size)
    ImageDraw.Draw(bar).text((width / 2, height / 2), text, INK, font, anchor="mm")
    return torch.frombuffer(bytearray(bar.tobytes()), dtype=torch.uint8).view(height, width, 3) / 255

"""Draw the templates' thumbnails from the demo's results: python tools/draw_thumbnails.py outputs/demo

The folder is the output of ``tav demo``: its clip, its edits with and without tuning, and its loss curve.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tav_core import load_video, probe_video
from tav_core.demo.demo import EDITS, PLOT, SOURCE, UNTUNED
from tav_core.files import file_name
from tav_core.pictures.image import to_pil

SIZE, CAPTION, COLUMNS = 512, 26, 3
WORKFLOWS = Path(__file__).parents[1] / "workflows"


def frames(path: Path) -> list[Image.Image]:
    """Return frames of a video, spread over its length."""
    info = probe_video(path)
    clip = load_video(path, info.frames, width=info.width, height=info.height).frames
    return [to_pil(clip[round(i * (len(clip) - 1) / (COLUMNS - 1))]) for i in range(COLUMNS)]


def edges(picture: Image.Image) -> Image.Image:
    """Return the outlines of a picture, white on black."""
    grey = torch.from_numpy(np.array(picture.convert("L"), np.float32))
    across, down = torch.gradient(grey)
    strength = (across**2 + down**2).sqrt()
    return Image.fromarray((255 * strength / strength.max()).byte().numpy())


def thumbnail(rows: dict[str, list[Image.Image]]) -> Image.Image:
    """Draw rows of pictures, each below its caption."""
    sheet = Image.new("RGB", (SIZE, SIZE), "#171718")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    height = SIZE // len(rows)
    for i, (caption, pictures) in enumerate(rows.items()):
        top = i * height
        draw.text((SIZE // 2, top + CAPTION // 2), caption, fill="#dddddd", font=font, anchor="mm")
        box = SIZE // len(pictures) - 8, height - CAPTION - 6
        for j, picture in enumerate(pictures):
            fitted = ImageOps.contain(picture.convert("RGB"), box, Image.Resampling.LANCZOS)
            left = (2 * j + 1) * SIZE // (2 * len(pictures)) - fitted.width // 2
            sheet.paste(fitted, (left, top + CAPTION))
    return sheet


def draw_all(folder: Path) -> dict[str, Image.Image]:
    """Return the thumbnail of each template by its number.

    Args:
        folder: the output of ``tav demo``.
    """
    clip = frames(folder / SOURCE)
    names = [file_name(words.caption) for words in EDITS]
    subject, place, attribute, style = (frames(folder / f"{name}.mp4") for name in names)
    untuned = frames(folder / UNTUNED / f"{names[0]}.mp4")
    curve = Image.open(folder / PLOT)
    return {
        "1": thumbnail({"the clip": clip, "the edit": subject, "the same prompt, not tuned": untuned}),
        "2": thumbnail({"a clip": clip[:1], "and a prompt": subject[:1]}),
        "3": thumbnail({"subject": subject, "place": place, "attribute": attribute, "style": style}),
        "4": thumbnail({"your clip": clip, "another place": place}),
        "5": thumbnail({"the motion of the clip": clip, "used again": style}),
        "6": thumbnail({"the clip": clip, "not tuned": untuned}),
        "7": thumbnail({"the clip": clip, "its edges": [edges(picture) for picture in clip]}),
        "8": thumbnail({"tuned": subject, "not tuned": untuned, "loss": [curve]}),
    }


if __name__ == "__main__":
    for number, picture in draw_all(Path(sys.argv[1])).items():
        (workflow,) = WORKFLOWS.glob(f"{number} *.json")
        picture.save(workflow.with_suffix(".jpg"), quality=88)

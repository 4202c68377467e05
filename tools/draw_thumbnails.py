"""Draw the templates' thumbnails, and README's and docs' pictures, of the demo's results.

python tools/draw_thumbnails.py outputs/demo

The folder is the output of ``tav demo``: its clip, its edits with and without tuning, and its loss curve.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from tav_core import load_video, probe_video, save_video
from tav_core.demo.demo import EDITS, FPS, PLOT, SOURCE, UNTUNED
from tav_core.files import file_name
from tav_core.pictures.image import to_pil
from tav_core.pictures.side_by_side import side_by_side
from tav_core.terminal.run_folder import SHEET

SIZE, CAPTION, COLUMNS = 512, 26, 3
REPOSITORY = Path(__file__).parents[1]
WORKFLOWS, IMAGES = REPOSITORY / "workflows", REPOSITORY / "docs" / "images"
SIDE = 240
"""Width of a video in README's picture, pixels."""


def video(path: Path) -> Tensor:
    """Return all frames of a video, [f, h, w, 3] in 0..1."""
    info = probe_video(path)
    return load_video(path, info.frames, width=info.width, height=info.height).frames


def frames(path: Path) -> list[Image.Image]:
    """Return frames of a video, spread over its length."""
    clip = video(path)
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


def moving_picture(folder: Path) -> Tensor:
    """Return the clip, the untuned and the tuned edit side by side for the first two prompts, one above the other."""
    rows = []
    for words in EDITS[:2]:
        name = f"{file_name(words.caption)}.mp4"
        videos = [video(path) for path in (folder / SOURCE, folder / UNTUNED / name, folder / name)]
        larger = [interpolate(rearrange(v, "f h w c -> f c h w"), (SIDE, SIDE), mode="bicubic") for v in videos]
        labels = ["the clip", "frame by frame", "tuned"]
        rows.append(side_by_side([rearrange(v, "f c h w -> f h w c").clamp(0, 1) for v in larger], labels))
    return torch.cat(rows, dim=1)


if __name__ == "__main__":
    for number, picture in draw_all(Path(sys.argv[1])).items():
        (workflow,) = WORKFLOWS.glob(f"{number} *.json")
        picture.save(workflow.with_suffix(".jpg"), quality=88)
    save_video(IMAGES / "demo.gif", moving_picture(Path(sys.argv[1])), FPS)
    sheet = Image.open(Path(sys.argv[1]) / SHEET).convert("RGB")
    ImageOps.contain(sheet, (1100, 4000), Image.Resampling.LANCZOS).save(IMAGES / "demo_world.jpg", quality=88)

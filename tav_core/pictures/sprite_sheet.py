"""Draw all frames of a clip into one sprite sheet, from which a page shows any frame at once and exactly."""

import io
import math
from dataclasses import dataclass

import torch
from PIL import Image

from .image import to_pil

SHEET_PIXELS = 16 * 2**20  # of all frames together: 64 frames of 512 x 512
FRAME_SIDE = 512  # of a single one, at most
BLOCK = 8  # frames of whole JPEG blocks do not bleed into their neighbours


@dataclass(frozen=True)
class VideoSheet:
    """Hold the frames of a video in one JPEG, row by row from the top left.

    Attributes:
        jpeg: the file's contents.
        frames: how many there are.
        columns: frames in a full row.
        width, height: of one frame on the sheet, in pixels.
    """

    jpeg: bytes
    frames: int
    columns: int
    width: int
    height: int


def sheet_frame_size(frames: int, width: int, height: int, longest: int) -> tuple[int, int]:
    """Return width and height of a frame on a sheet: the longer side at most `longest`, the sheet at most SHEET_PIXELS.

    Both are multiples of 8 pixels, so that the aspect ratio is only approximately kept.
    """
    scale = min(1, longest / max(width, height), math.sqrt(SHEET_PIXELS / (frames * width * height)))
    return tuple(max(BLOCK, round(size * scale / BLOCK) * BLOCK) for size in (width, height))


def video_sheet(frames: torch.Tensor) -> VideoSheet:
    """Put frames [f, h, w, 3], RGB in 0..1 (others are clamped), on one sprite sheet that is about square.

    Frames are scaled down to :func:`sheet_frame_size` for 512 pixels a side.
    """
    count, height, width, _ = frames.shape
    size = sheet_frame_size(count, width, height, FRAME_SIDE)
    columns = min(count, math.ceil(math.sqrt(count * size[1] / size[0])))
    sheet = Image.new("RGB", (columns * size[0], math.ceil(count / columns) * size[1]))
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        sheet.paste(to_pil(frame).resize(size, Image.Resampling.LANCZOS), (column * size[0], row * size[1]))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=90, subsampling=0)
    return VideoSheet(file.getvalue(), count, columns, *size)

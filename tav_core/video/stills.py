"""Read numbered pictures and animated WebP files as videos, by Pillow: FFmpeg reads neither everywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from .timeline import Timeline, constant_rate

FPS = 8
"""Frames per second of pictures, which have no rate of their own."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
_DAMAGED = (OSError, ValueError, SyntaxError)
"""Errors by which Pillow reports a damaged file."""
_PATTERN = re.compile(r"%0?\d?d")


def are_stills(path: str | os.PathLike) -> bool:
    """Return whether a path is a folder, a pattern of numbered files such as ``frame_%04d.png``, or an animated
    WebP."""
    path = Path(path)
    numbered = bool(_PATTERN.search(path.name)) and not os.path.exists(path)
    return os.path.isdir(path) or is_animated_webp(path) or numbered


def is_animated_webp(path: Path) -> bool:
    """Return whether a file is a WebP with several frames."""
    if path.suffix.lower() != ".webp" or not os.path.isfile(path):  # unlike a Path's, False for names too long
        return False
    with path.open("rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def timeline_of(path: str | os.PathLike) -> Timeline:
    """Return the timeline of :func:`frames_of`; errors as there."""
    if not is_animated_webp(Path(path)):
        return _timeline(np.arange(len(_pictures(path))), float(FPS), complete=True)
    durations, complete = _webp_durations(Path(path))
    times = np.cumsum([0, *durations[:-1]]).tolist()
    return _timeline(*constant_rate(times, Fraction(1, 1000), None), complete)


def frames_of(path: str | os.PathLike) -> Iterator[av.VideoFrame]:
    """Yield the frames of a folder, a pattern or an animated WebP.

    Raises:
        FileNotFoundError: there are no pictures.
        ValueError: one cannot be read.
    """
    if is_animated_webp(Path(path)):
        with _opened(Path(path)) as image:
            for number in range(image.n_frames):
                try:
                    image.seek(number)
                    frame = image.convert("RGB")
                except (OSError, EOFError):  # it breaks off
                    return
                yield av.VideoFrame.from_image(frame)
        return
    for file in _pictures(path):
        with _opened(file) as image:
            try:
                picture = _eight_bits(ImageOps.exif_transpose(image))
                alpha = picture.has_transparency_data
                pixels = np.asarray(picture.convert("RGBA" if alpha else "RGB"))
            except _DAMAGED as error:
                raise _unreadable(file, error) from None
        yield av.VideoFrame.from_ndarray(pixels, "rgba" if alpha else "rgb24")


def _opened(file: Path) -> Image.Image:
    if not file.is_file():  # opening a pipe would wait for its writer
        raise _unreadable(file, "not a file")
    try:
        return Image.open(file)
    except PermissionError:
        raise
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, reason: object) -> ValueError:
    return ValueError(f"{file} is not a picture that can be read ({reason}): replace or remove it.")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return greys of 16 bits in 8, which Pillow's own conversion clips to white; others as they are."""
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers, without a white")
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))


def _timeline(shown: np.ndarray, fps: float, complete: bool) -> Timeline:
    return Timeline(shown, fps, complete, pixel_aspect=1.0, keyframes=np.empty((0, 2), np.int64))


def _pictures(path: str | os.PathLike) -> list[Path]:
    """Return the files in the order of their numbers."""
    path = Path(path)
    if path.is_dir():
        names = [name for name in os.listdir(path) if name.lower().endswith(PICTURES) and not name.startswith(".")]
        files = [path / name for name in sorted(names, key=_by_number)]
    else:
        before, after = map(re.escape, _PATTERN.split(path.name, maxsplit=1))
        pattern = re.compile(rf"{before}\d+{after}")
        names = os.listdir(path.parent) if path.parent.is_dir() else []
        files = [path.parent / name for name in sorted(filter(pattern.fullmatch, names), key=_by_number)]
    if not files and path.is_dir():
        raise ValueError(f"{path} is not a video that can be read (a folder without pictures): give a file.")
    if not files:
        example = _PATTERN.sub("0001", path.name, count=1)
        raise FileNotFoundError(f"There are no frames {path}: expected files such as {example}.")
    return files


def _by_number(name: str) -> list[int | str]:
    """Sort key by which frame10 comes after frame9."""
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)]


def _webp_durations(path: Path) -> tuple[list[int], bool]:
    """Read the duration of each frame in milliseconds, and whether the file is whole."""
    durations, data = [], path.read_bytes()
    place, end = 12, 8 + int.from_bytes(data[4:8], "little")
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name == b"ANMF" and place + 24 <= len(data):
            durations.append(int.from_bytes(data[place + 20 : place + 23], "little"))
        place += 8 + size + size % 2
    whole = len(data) >= end
    return (durations if whole else durations[:-1]), whole

"""Convert videos for browsers."""

from __future__ import annotations

import os
from pathlib import Path

from ..video.container import open_video

MOST_FRAMES = 600  # a copy is in memory while it is made
LONGEST_SIDE = 1024  # pixels of a copy, more than the page shows
_CODECS = {".mp4": ("h264", "av1", "vp9"), ".webm": ("vp8", "vp9", "av1")}
_PIXELS = ("yuv420p", "yuvj420p")


def playable(path: Path, folder: Path) -> Path:
    """Return the video itself if every browser plays it, else a copy of it in ``folder``, as mp4 with H.264.

    Raises:
        ValueError: the file is not a video, or must be converted and has more than 600 frames.
    """
    if _plays(path):
        return path
    # torch is imported only to convert a video
    from ..video.reading import load_video, probe_video, save_video

    info = probe_video(path)
    if info.frames > MOST_FRAMES:
        raise ValueError(
            f"{path} must be converted for the browser, but has {info.frames} frames, and at most "
            f"{MOST_FRAMES} can be converted: convert it to mp4 with H.264 and yuv420p first."
        )
    scale = min(1, LONGEST_SIDE / max(info.width, info.height))
    width, height = (max(8, int(size * scale) // 8 * 8) for size in (info.width, info.height))
    clip = load_video(path, info.frames, width=width, height=height)
    copy = folder / f"{len(os.listdir(folder))}.mp4"
    save_video(copy, clip.frames, clip.fps)
    return copy


def _plays(path: Path) -> bool:
    with open_video(path) as container:
        streams = container.streams.video
        codec = streams[0].codec_context if streams else None
        return bool(codec) and codec.name in _CODECS.get(path.suffix, ()) and codec.pix_fmt in _PIXELS

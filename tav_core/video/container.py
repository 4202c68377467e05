"""Open video files for reading."""

from __future__ import annotations

import os
from pathlib import Path

import av

_PLAYLISTS = ("hls", "concat", "dash", "imf")


def open_video(path: str | os.PathLike) -> av.container.InputContainer:
    """Open a video file; its metadata may be in any encoding.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a video, or a playlist of other files.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no video file {path}: check the name.")
    absolute = os.path.abspath(path)  # FFmpeg takes a name with a colon for a protocol
    try:
        try:
            container = av.open(absolute)
        except UnicodeDecodeError:  # PyAV before 19; later ones have no such option and accept every encoding
            container = av.open(absolute, metadata_errors="replace")
    except av.FFmpegError as error:
        reason = error.strerror.lower()
        raise ValueError(
            f"{path} is not a video that can be read ({reason}): give a whole mp4, webm or GIF."
        ) from error
    if container.format.name in _PLAYLISTS:
        container.close()
        raise ValueError(f"{path} only names other files, as a playlist: give the video itself.")
    return container

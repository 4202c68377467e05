"""A video file, opened for reading."""

from __future__ import annotations

import os
from pathlib import Path

import av

_PLAYLISTS = ("hls", "concat", "dash", "imf")


def open_video(path: str | os.PathLike) -> av.container.InputContainer:
    """The file, open; titles in it may be in any encoding.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no video, or only names others.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no video file {path}: check the name.")
    absolute = os.path.abspath(path)  # a name with a colon would be taken for a protocol
    try:
        try:
            container = av.open(absolute)
        except UnicodeDecodeError:  # before PyAV 19, which takes every title and the option no more
            container = av.open(absolute, metadata_errors="replace")
    except av.FFmpegError as error:
        reason = error.strerror.lower()
        raise ValueError(f"{path} is no video that can be read ({reason}): give a whole mp4, webm or GIF.") from error
    if container.format.name in _PLAYLISTS:
        container.close()
        raise ValueError(f"{path} only names other files, as a playlist: give the video itself.")
    return container

"""Open video files for reading."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av

from .timeline import MOST_FRAMES

_PLAYLISTS = ("hls", "concat", "dash", "imf")
_BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
"""Boxes of an mp4 file that contain others, on the way to the numbers of samples."""


def open_video(path: str | os.PathLike) -> av.container.InputContainer:
    """Open a video file; its metadata may be in any encoding.

    Raises:
        FileNotFoundError: the file does not exist.
        PermissionError: it must not be read.
        ValueError: it is not a video, claims more frames than can be read, or is a playlist of other files.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no video file {path}: check the name.")
    if not Path(path).is_file():
        raise ValueError(f"{path} is not a file but a pipe or a device: write the video to a file first.")
    with open(path, "rb") as file:
        if max(_claimed_samples(file), default=0) > MOST_FRAMES:
            raise ValueError(f"{path} is damaged (its header claims millions of frames): get the file again.")
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


def _claimed_samples(file: BinaryIO) -> Iterator[int]:
    """Yield the numbers of samples of an mp4 file's video tracks and fragments; none for other formats.

    FFmpeg allocates about 70 bytes for each when it opens the file, however small that is.
    """
    head = file.read(8)
    if head[4:] in (b"ftyp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide"):
        yield from _samples_in(file, 0, os.fstat(file.fileno()).st_size)


def _samples_in(file: BinaryIO, place: int, end: int) -> Iterator[int]:
    video = True
    while place + 8 <= end:
        file.seek(place)
        head = file.read(36)
        size, name, begin = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, begin = int.from_bytes(head[8:16], "big"), 16
        if size == 0:
            size = end - place
        if size < begin:
            return
        content = head[begin:]
        if name == b"hdlr":
            video = content[8:12] == b"vide"
        elif name in (b"stsz", b"stz2"):
            yield int.from_bytes(content[8:12], "big")
        elif name == b"trun":
            yield int.from_bytes(content[4:8], "big")
        elif name in _BOXES and video:  # the samples of uncompressed audio are single values
            yield from _samples_in(file, place + begin, min(end, place + size))
        place += size

"""Read clips into tensors: H.264, VP9, GIF and every other format that FFmpeg decodes."""

import os
import reprlib
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from ..choices import LARGEST_SIDE, RESIZE_MODES
from ..diffusion.settings import ClipSettings
from ..text_table import counted
from .container import open_video
from .decoding import decode, numbered_frames, pick, video_stream
from .picture import display_size, picture_of
from .stills import are_stills, frames_of, timeline_of
from .timeline import MOST_FRAMES, Timeline, scan
from .writing import save_video

__all__ = ["VideoClip", "VideoInfo", "load_video", "probe_clip", "probe_video", "save_video"]


@dataclass(frozen=True)
class VideoClip:
    """Hold frames of a video.

    Attributes:
        frames: float32 tensor [f, h, w, 3], RGB in 0..1.
        fps: frames per second at which `frames` plays at the speed of the source: `source_fps / stride`.
        source_fps: frames per second of the file; the constant rate in which frames are counted if it varies.
        source_frames: frames of the file at that rate (of a truncated file: those that exist).
    """

    frames: torch.Tensor
    fps: float
    source_fps: float
    source_frames: int


@dataclass(frozen=True)
class VideoInfo:
    """Describe a video file: `width` and `height` in pixels as displayed (rotated), `duration` in seconds."""

    frames: int
    fps: float
    width: int
    height: int
    duration: float


def load_video(
    path: str | os.PathLike,
    frames: int = ClipSettings.frames,
    start: int = ClipSettings.start,
    stride: int = ClipSettings.stride,
    width: int | None = ClipSettings.width,
    height: int | None = ClipSettings.height,
    resize: str = ClipSettings.resize,
) -> VideoClip:
    """Decode `frames` frames of a video, every `stride`-th from frame `start` (counted from 0), at one size.

    Frame i is the frame on display at i / source_fps seconds: in a file of constant rate exactly the i-th decoded
    frame; if the rate varies, frames are repeated or dropped so that motion keeps its speed. Frames are rotated by
    quarter turns and mirrored as the file requests. HDR (PQ, HLG) and BT.2020 become sRGB, with highlights clipped.
    Only frames up to the last one needed are decoded, and none is kept at full size.

    Args:
        path: a file that FFmpeg can decode, an animated WebP, a folder of pictures, or a pattern of numbered ones such
            as ``frame_%04d.png``; pictures count as 8 frames per second.
        frames: at least 1; 0 for all from ``start`` on.
        start, stride: at least 0 and 1.
        width, height: size of the result in pixels, a multiple of 8; None takes the source's, rounded down to one.
        resize: "stretch" to the size, "crop" (fill it and cut the edges) or "pad" (fit inside, black bars).

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an argument is out of range, the file is not a video, or has fewer frames than requested.

    A truncated file gives the frames that could be read, with a warning if these are fewer than requested.
    """
    timeline, numbers = _chosen(path, frames, start, stride, width, height, resize)
    clip, read = torch.empty(0), 0
    pictures = _pictures(path, timeline, numbers, frames or len(numbers), start, width, height, resize)
    for read, picture in enumerate(pictures, start=1):
        if read == 1:
            clip = _room_for(len(numbers), *picture.shape[1::-1])
        clip[read - 1] = torch.from_numpy(picture)
    return VideoClip(clip[:read].div_(255), timeline.fps / stride, timeline.fps, len(timeline.shown))


def stream_video(
    path: str | os.PathLike, frames: int, start: int, stride: int, width: int | None, height: int | None, resize: str
) -> Iterator[torch.Tensor]:
    """Yield the frames [h, w, 3] of :func:`load_video` for the same arguments one by one, or raise its errors."""
    timeline, numbers = _chosen(path, frames, start, stride, width, height, resize)
    for picture in _pictures(path, timeline, numbers, frames or len(numbers), start, width, height, resize):
        yield torch.from_numpy(picture).float().div_(255)


def _pictures(
    path: str | os.PathLike,
    timeline: Timeline,
    numbers: np.ndarray,
    requested: int,
    start: int,
    width: int | None,
    height: int | None,
    resize: str,
) -> Iterator[np.ndarray]:
    """Yield uint8 RGB [height, width, 3] of the decoded frames of these numbers; warn where fewer than ``requested``
    could be read."""
    read = 0
    with closing(numbered_frames(path, timeline, int(numbers[0]))) as numbered:
        reformatter = VideoReformatter()
        for frame in pick(numbered, numbers):
            if not read:
                source = display_size(frame, timeline.pixel_aspect)
                source_width, source_height = (max(8, size // 8 * 8) for size in source)
                width, height = width or source_width, height or source_height
            yield picture_of(reformatter, frame, timeline, width, height, resize)
            read += 1
    if not read:
        raise _breaks_off(path, start)
    if read < requested:
        warnings.warn(
            f"{path} breaks off: only {read} of the {requested} frames requested could be read.", stacklevel=3
        )


def clip_bytes(frames: int, width: int, height: int) -> int:
    """Return the size in memory of the frames that :func:`load_video` returns."""
    return 4 * 3 * frames * width * height


def probe_clip(
    path: str | os.PathLike,
    frames: int = ClipSettings.frames,
    start: int = ClipSettings.start,
    stride: int = ClipSettings.stride,
    width: int = ClipSettings.width,
    height: int = ClipSettings.height,
    resize: str = ClipSettings.resize,
) -> VideoInfo:
    """Predict the result of :func:`load_video` for the same arguments, or raise its error, by decoding the first frame.

    Of a file that is damaged after that, :func:`load_video` may give fewer frames, with a warning.
    """
    timeline, numbers = _chosen(path, frames, start, stride, width, height, resize)
    with closing(numbered_frames(path, timeline, int(numbers[0]))) as numbered:
        first = next(pick(numbered, numbers[:1]), None)
        if first is None:
            raise _breaks_off(path, start)
        _check_memory(len(numbers), width, height)
        picture_of(VideoReformatter(), first, timeline, width, height, resize)
    fps = timeline.fps / stride
    return VideoInfo(len(numbers), fps, width, height, len(numbers) / fps)


def probe_video(path: str | os.PathLike) -> VideoInfo:
    """Read the number of frames, rate, displayed size and duration, from the header if it is consistent, else from the
    whole file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a video.
    """
    if are_stills(path):
        first, pixel_aspect = next(frames_of(path), None), 1.0
        if first is None:
            raise _breaks_off(path, 0)
        width, height = display_size(first, pixel_aspect)
    else:
        with open_video(path) as container:
            stream = video_stream(container, path)
            first = next(decode(container, stream), None)
            if first is None:
                raise _breaks_off(path, 0)
            width, height = display_size(first, float(stream.sample_aspect_ratio or 1))
            count, rate = stream.frames, stream.average_rate
            # A header is trusted when its count, duration and rates agree (with an edit list the count differs, with a
            # variable rate the rates).
            constant = rate and rate == stream.base_rate and stream.duration
            if constant and count == round(stream.duration * stream.time_base * rate):
                return VideoInfo(count, float(rate), width, height, count / float(rate))
    timeline = _timeline(path)
    return VideoInfo(len(timeline.shown), timeline.fps, width, height, len(timeline.shown) / timeline.fps)


def _chosen(
    path: str | os.PathLike, frames: int, start: int, stride: int, width: int | None, height: int | None, resize: str
) -> tuple[Timeline, np.ndarray]:
    """Return the timeline of the file, and the numbers of the decoded frames to take; or raise the errors of
    :func:`load_video`."""
    for name, value, least in (("frames", frames, 0), ("start", start, 0), ("stride", stride, 1)):
        if not least <= value <= MOST_FRAMES:
            bound = f"at least {least}" if value < least else f"at most {MOST_FRAMES}"
            raise ValueError(f"{name} is {reprlib.repr(value)}, but must be {bound}.")
    for name, value in (("width", width), ("height", height)):
        if value is not None and (not 8 <= value <= LARGEST_SIDE or value % 8):
            raise ValueError(f"{name} is {value}, but must be a positive multiple of 8, at most {LARGEST_SIDE}.")
    if resize not in RESIZE_MODES:
        raise ValueError(f"resize is {resize!r}, but must be one of {', '.join(RESIZE_MODES)}.")
    timeline = _timeline(path)
    available = len(range(start, len(timeline.shown), stride))
    if available < max(1, frames) and timeline.complete:
        raise ValueError(
            f"{path} has {counted(len(timeline.shown), 'frame')}, which gives {available} with start {start} and "
            f"stride {stride}, but {frames or 'all'} were requested: request fewer frames, or lower start or stride."
        )
    if available == 0:
        raise _breaks_off(path, start)
    return timeline, timeline.shown[start::stride][: frames or None]


def _timeline(path: str | os.PathLike) -> Timeline:
    """Read the timeline of a file, once as long as the file does not change."""
    try:
        status = os.stat(path)
    except OSError:  # a pattern of numbered files, or an error that reading explains
        return _read_timeline.__wrapped__(os.fspath(path))
    return _read_timeline(os.path.abspath(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read_timeline(path: str, *_changed: int) -> Timeline:
    if are_stills(path):
        return timeline_of(path)
    with open_video(path) as container:
        return scan(container, video_stream(container, path))


def _breaks_off(path: str | os.PathLike, start: int) -> ValueError:
    return ValueError(f"{path} breaks off before frame {start} could be read: use a whole file or a lower start.")


def _room_for(frames: int, width: int, height: int) -> torch.Tensor:
    _check_memory(frames, width, height)
    try:
        return torch.empty(frames, height, width, 3)
    except RuntimeError as error:  # a limit of the process
        raise ValueError(_too_large(frames, width, height)) from error


def _check_memory(frames: int, width: int, height: int) -> None:
    """Raise ValueError for a clip that is larger than the memory of this machine.

    The system may let it be allocated, and kill the process when it is filled.
    """
    size = clip_bytes(frames, width, height)
    if hasattr(os, "sysconf") and size > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise ValueError(_too_large(frames, width, height))


def _too_large(frames: int, width: int, height: int) -> str:
    size = clip_bytes(frames, width, height) / 1e9
    return (
        f"{counted(frames, 'frame')} of {width}x{height} take {size:.1f} GB, more than this machine has: use fewer or "
        "smaller frames."
    )

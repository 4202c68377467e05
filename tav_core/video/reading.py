"""Read clips into tensors: H.264, VP9, GIF and every other format that FFmpeg decodes."""

import math
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass

import av
import numpy as np
import torch
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import ColorRange, VideoReformatter

from ..choices import LARGEST_SIDE, RESIZE_MODES
from .container import open_video
from .timeline import MOST_FRAMES, Timeline, scan
from .writing import SCALING, save_video

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
    frames: int = 24,
    start: int = 0,
    stride: int = 1,
    width: int | None = 512,
    height: int | None = 512,
    resize: str = "stretch",
) -> VideoClip:
    """Decode `frames` frames of a video, every `stride`-th from frame `start` (counted from 0), at one size.

    Frame i is the frame on display at i / source_fps seconds: in a file of constant rate exactly the i-th decoded
    frame; if the rate varies, frames are repeated or dropped so that motion keeps its speed. Frames are rotated by
    quarter turns and mirrored as the file requests. Only frames up to the last one needed are decoded, and none is
    kept at full size.

    Args:
        path: a file that FFmpeg can decode.
        frames: at least 1; 0 for all from ``start`` on.
        start, stride: at least 0 and 1.
        width, height: size of the result in pixels, a multiple of 8; None takes the source's, rounded down to one.
        resize: "stretch" to the size, "crop" (fill it and cut the edges) or "pad" (fit inside, black bars).

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: an argument is out of range, the file is not a video, or has fewer frames than requested.

    A truncated file gives the frames that could be read, with a warning if these are fewer than requested.
    """
    _check_request(frames, start, stride, width, height, resize)
    timeline, numbers = _chosen(path, frames, start, stride)
    clip, read = torch.empty(0), 0
    pictures = _pictures(path, timeline, numbers, frames or len(numbers), start, width, height, resize)
    for read, picture in enumerate(pictures, start=1):
        if read == 1:
            clip = torch.empty(len(numbers), *picture.shape)
        clip[read - 1] = torch.from_numpy(picture)
    return VideoClip(clip[:read].div_(255), timeline.fps / stride, timeline.fps, len(timeline.shown))


def stream_video(
    path: str | os.PathLike,
    frames: int = 24,
    start: int = 0,
    stride: int = 1,
    width: int | None = 512,
    height: int | None = 512,
    resize: str = "stretch",
) -> Iterator[torch.Tensor]:
    """Yield the frames [h, w, 3] of :func:`load_video` for the same arguments one by one, or raise its errors."""
    _check_request(frames, start, stride, width, height, resize)
    timeline, numbers = _chosen(path, frames, start, stride)
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
    with closing(_numbered_frames(path, timeline, int(numbers[0]))) as numbered:
        reformatter = VideoReformatter()
        for frame in _pick(numbered, numbers):
            if not read:
                source = _display_size(frame, timeline.pixel_aspect)
                source_width, source_height = (max(8, size // 8 * 8) for size in source)
                width, height = width or source_width, height or source_height
            yield _picture(reformatter, frame, timeline.pixel_aspect, width, height, resize)
            read += 1
    if not read:
        raise _breaks_off(path, start)
    if read < requested:
        warnings.warn(
            f"{path} breaks off: only {read} of the {requested} frames requested could be read.", stacklevel=3
        )


def probe_clip(
    path: str | os.PathLike,
    frames: int = 24,
    start: int = 0,
    stride: int = 1,
    width: int = 512,
    height: int = 512,
    resize: str = "stretch",
) -> VideoInfo:
    """Predict the result of :func:`load_video` for the same arguments, or raise its error, without decoding a frame."""
    _check_request(frames, start, stride, width, height, resize)
    timeline, numbers = _chosen(path, frames, start, stride)
    fps = timeline.fps / stride
    return VideoInfo(len(numbers), fps, width, height, len(numbers) / fps)


def probe_video(path: str | os.PathLike) -> VideoInfo:
    """Read the number of frames, rate, displayed size and duration, from the header if it is consistent, else from the
    whole file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a video.
    """
    with open_video(path) as container:
        stream = _video_stream(container, path)
        first = next(_decode(container, stream), None)
        if first is None:
            raise ValueError(f"{path} breaks off before its first frame: use a whole file.")
        width, height = _display_size(first, float(stream.sample_aspect_ratio or 1))
        count, rate = stream.frames, stream.average_rate
        # A header is trusted when its count, duration and rates agree (with an edit list the count differs, with a
        # variable rate the rates).
        constant = rate and rate == stream.base_rate and stream.duration
        if constant and count == round(stream.duration * stream.time_base * rate):
            return VideoInfo(count, float(rate), width, height, count / float(rate))
    with open_video(path) as container:
        timeline = scan(container, _video_stream(container, path))
    return VideoInfo(len(timeline.shown), timeline.fps, width, height, len(timeline.shown) / timeline.fps)


def _check_request(frames: int, start: int, stride: int, width: int | None, height: int | None, resize: str) -> None:
    for name, value, least in (("frames", frames, 0), ("start", start, 0), ("stride", stride, 1)):
        if not least <= value <= MOST_FRAMES:
            bound = f"at least {least}" if value < least else f"at most {MOST_FRAMES}"
            raise ValueError(f"{name} is {value}, but must be {bound}.")
    for name, value in (("width", width), ("height", height)):
        if value is not None and (not 8 <= value <= LARGEST_SIDE or value % 8):
            raise ValueError(f"{name} is {value}, but must be a positive multiple of 8, at most {LARGEST_SIDE}.")
    if resize not in RESIZE_MODES:
        raise ValueError(f"resize is {resize!r}, but must be one of {', '.join(RESIZE_MODES)}.")


def _chosen(path: str | os.PathLike, frames: int, start: int, stride: int) -> tuple[Timeline, np.ndarray]:
    """Return the timeline of the file, and the numbers of the decoded frames to take."""
    with open_video(path) as container:
        timeline = scan(container, _video_stream(container, path))
    available = len(range(start, len(timeline.shown), stride))
    if available < max(1, frames) and timeline.complete:
        raise ValueError(
            f"{path} has {len(timeline.shown)} frames, which gives {available} with start {start} and stride {stride}, "
            f"but {frames or 'all'} were requested: request fewer frames, or lower start or stride."
        )
    if available == 0:
        raise _breaks_off(path, start)
    return timeline, timeline.shown[start::stride][: frames or None]


def _breaks_off(path: str | os.PathLike, start: int) -> ValueError:
    return ValueError(f"{path} breaks off before frame {start} could be read: use a whole file or a lower start.")


def _video_stream(container: av.container.InputContainer, path: str | os.PathLike) -> av.VideoStream:
    # an attached picture is the cover of an audio file
    stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
    if stream is None or stream.codec_context is None:
        raise ValueError(f"{path} has no video stream that can be decoded: give a video file.")
    stream.thread_type = "AUTO"
    return stream


def _decode(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield decoded frames in the order of display, up to the end or to where the file breaks off."""
    with suppress(av.FFmpegError):
        for packet in container.demux(stream):
            if packet.is_corrupt:
                break
            yield from packet.decode()
    with suppress(av.FFmpegError):
        yield from stream.decode()  # frames still in the decoder when the end was not reached


def _numbered_frames(path: str | os.PathLike, timeline: Timeline, number: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield decoded frames with their numbers, from the last keyframe before frame ``number`` if seeking finds it, else
    from the first."""
    for keyframe in (timeline.keyframe_before(number), None):
        with open_video(path) as container:
            stream = _video_stream(container, path)
            frames = _decode(container, stream)
            if keyframe is None:
                yield from enumerate(frames)
                return
            first, time = keyframe
            with suppress(av.FFmpegError):
                container.seek(time, stream=stream)
            for frame in frames:
                if frame.pts is None or frame.pts > time:
                    break
                if frame.pts == time:
                    yield first, frame
                    yield from enumerate(frames, first + 1)
                    return


def _pick(numbered: Iterator[tuple[int, av.VideoFrame]], numbers: Iterable[int]) -> Iterator[av.VideoFrame]:
    """Yield the frames of these numbers (non-decreasing, some repeated), up to the last that exists."""
    number, frame = -1, None
    for wanted in numbers:
        while number < wanted:
            number, frame = next(numbered, (math.inf, None))
        if frame is None:
            return
        yield frame


def _display_size(frame: av.VideoFrame, pixel_aspect: float) -> tuple[int, int]:
    width, height = max(1, round(frame.width * pixel_aspect)), frame.height
    sideways, _, _ = _orientation(frame)
    return (height, width) if sideways else (width, height)


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return how to turn a frame upright: whether to transpose it, and then whether to mirror it horizontally and
    vertically; the nearest quarter turn for a display matrix that is not one."""
    matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if matrix is None:
        return False, False, False
    # (x, y) is shown at (a x + c y, b x + d y)
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    sideways = abs(b) + abs(c) > abs(a) + abs(d)
    return (True, c < 0, b < 0) if sideways else (False, a < 0, d < 0)


def _picture(
    reformatter: VideoReformatter, frame: av.VideoFrame, pixel_aspect: float, width: int, height: int, resize: str
) -> np.ndarray:
    """Convert one frame to uint8 RGB [height, width, 3], upright."""
    inner_width, inner_height = width, height
    if resize != "stretch":
        shown_width, shown_height = _display_size(frame, pixel_aspect)
        scales = width / shown_width, height / shown_height
        scale = max(scales) if resize == "crop" else min(scales)
        inner_width, inner_height = max(1, round(shown_width * scale)), max(1, round(shown_height * scale))

    sideways, mirrored, upside_down = _orientation(frame)
    # RGB is always full range, but PyAV 14 applies the colour space only if the two ranges differ.
    other_range = ColorRange.MPEG if frame.color_range == ColorRange.JPEG else ColorRange.JPEG
    try:
        picture = reformatter.reformat(
            frame,
            width=inner_height if sideways else inner_width,
            height=inner_width if sideways else inner_height,
            format="rgb24",
            interpolation=SCALING,
            src_color_range=frame.color_range,
            dst_color_range=other_range,
        ).to_ndarray()
    except av.FFmpegError as error:
        raise ValueError(
            f"Frames of {frame.width}x{frame.height} cannot be resized to {width}x{height} by {resize!r}: use 'pad', "
            "or a size of about their aspect ratio."
        ) from error
    picture = picture.swapaxes(0, 1) if sideways else picture
    picture = picture[:: -1 if upside_down else 1, :: -1 if mirrored else 1]

    if resize == "crop":
        top, left = (inner_height - height) // 2, (inner_width - width) // 2
        picture = picture[top : top + height, left : left + width]
    elif resize == "pad":
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        bars = (top, height - inner_height - top), (left, width - inner_width - left), (0, 0)
        picture = np.pad(picture, bars)
    return np.ascontiguousarray(picture)

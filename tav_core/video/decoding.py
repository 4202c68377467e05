"""Decode the frames of a file one by one, from the first or from a keyframe on."""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

import av
from av.stream import Disposition

from .container import open_video
from .stills import are_stills, frames_of
from .timeline import Timeline


def video_stream(container: av.container.InputContainer, path: str | os.PathLike) -> av.VideoStream:
    """Return the stream of moving pictures; ValueError if there is none."""
    # an attached picture is the cover of an audio file
    stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
    if stream is None or stream.codec_context is None:
        raise ValueError(f"{path} has no video stream that can be decoded: give a video file.")
    stream.thread_type = "AUTO"
    return stream


def decode(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield decoded frames in the order of display, up to the end or to where the file breaks off."""
    with suppress(av.FFmpegError):
        for packet in container.demux(stream):
            if packet.is_corrupt:
                break
            yield from packet.decode()
    with suppress(av.FFmpegError):
        yield from stream.decode()  # frames still in the decoder when the end was not reached


def numbered_frames(path: str | os.PathLike, timeline: Timeline, number: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield decoded frames with their numbers, from the last keyframe before frame ``number`` if seeking finds it, else
    from the first."""
    if are_stills(path):
        yield from enumerate(frames_of(path))
        return
    for keyframe in (timeline.keyframe_before(number), None):
        with open_video(path) as container:
            stream = video_stream(container, path)
            frames = decode(container, stream)
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


def pick(numbered: Iterator[tuple[int, av.VideoFrame]], numbers: Iterable[int]) -> Iterator[av.VideoFrame]:
    """Yield the frames of these numbers (non-decreasing, some repeated), up to the last that exists."""
    number, frame = -1, None
    for wanted in numbers:
        while number < wanted:
            number, frame = next(numbered, (math.inf, None))
        if frame is None:
            return
        yield frame

"""Find when each frame of a video file is on display, and whether the file is whole, without decoding it."""

import os
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import av
import numpy as np

MOST_FRAMES = 2**21
"""Most packets of a file, more than nine hours at 60 frames per second; bounds the memory that reading takes."""
WORTH_SEEKING = 240
"""Seek to a keyframe only from this frame number on; below it, decoding from the start is as fast."""


@dataclass(frozen=True)
class Timeline:
    """Map frames counted at a constant rate to decoded frames.

    Attributes:
        shown: int array [n]; frame i of that rate shows the decoded frame number `shown[i]`, counted from 0.
        fps: that rate, in frames per second.
        complete: False where the file breaks off before its end.
        pixel_aspect: width of a displayed pixel, as a multiple of its height.
        keyframes: int array [k, 2]; of each keyframe, its decoded frame number, and its time in the stream's unit.
        transfer, primaries: tags of the colours, by their numbers in ITU-T H.273; 2 for none.
    """

    shown: np.ndarray
    fps: float
    complete: bool
    pixel_aspect: float
    keyframes: np.ndarray
    transfer: int = 2
    primaries: int = 2

    def keyframe_before(self, number: int) -> tuple[int, int] | None:
        """Return number and time of the last keyframe up to a decoded frame; None if starting at the first frame is as
        fast, or the file's times cannot be trusted."""
        index = int(np.searchsorted(self.keyframes[:, 0], number, side="right")) - 1
        if not self.complete or index < 0 or self.keyframes[index, 0] < WORTH_SEEKING:
            return None
        return tuple(self.keyframes[index].tolist())


class _Packet(NamedTuple):
    pts: int | None
    dts: int | None
    keyframe: bool
    hidden: bool  # needed to decode others, but outside the edit list


def scan(container: av.container.InputContainer, stream: av.VideoStream) -> Timeline:
    """Read all packets, without decoding them, to find the time of every frame and whether the file is whole.

    Raises:
        ValueError: there are more than ``MOST_FRAMES``.
    """
    packets, complete = [], True
    ends: dict[
        int, int
    ] = {}  # by stream, in its own unit: converting each packet to a Fraction would take most of the time
    try:
        for packet in container.demux():
            if packet.is_corrupt:
                complete = False
                break
            if packet.size == 0:
                continue
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None:
                ends[packet.stream_index] = max(ends.get(packet.stream_index, 0), time + (packet.duration or 0))
            if packet.stream_index == stream.index:
                packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard))
                if len(packets) > MOST_FRAMES:
                    raise ValueError(f"{container.name} has more than {MOST_FRAMES} frames: cut a shorter file.")
    except av.FFmpegError:
        complete = False
    times = _times_of_frames(packets)
    end = max((ticks * container.streams[index].time_base for index, ticks in ends.items()), default=0)

    if container.duration and end:
        counts_from_zero = container.format.name in ("matroska,webm", "flv")  # and not from its first frame
        start = 0 if counts_from_zero else container.start_time or 0
        declared_end = Fraction(start + container.duration, av.time_base)
        complete &= end > declared_end - 2 / (stream.average_rate or 20)  # headers are off by up to a frame or so
    if container.format.name == "gif" and not _ends_in_gif_trailer(container.name):
        complete = False
        times = times[:-1]  # half drawn
    if not complete and packets and packets[-1].dts is not None and None not in times:
        times = _before_gap(times, packets[-1].dts)
    shown, fps = constant_rate(times, stream.time_base, stream.average_rate)
    pixel_aspect = float(stream.sample_aspect_ratio or 1)
    codec = stream.codec_context
    return Timeline(
        shown,
        fps,
        complete and len(times) > 0,
        pixel_aspect,
        _keyframes(packets, times),
        int(codec.color_trc),
        int(codec.color_primaries),
    )


def _times_of_frames(packets: list[_Packet]) -> list[int | None]:
    """Return the display times of the frames that can be decoded, in the order of decoding.

    A file cut out of another begins with frames that cannot be decoded: all before the first keyframe, and those after
    it that are displayed before it, as they depend on earlier frames too.
    """
    first = next((number for number, packet in enumerate(packets) if packet.keyframe), 0)
    decodable = packets[first:]
    if all(packet.pts is not None for packet in decodable):
        decodable = [packet for packet in decodable if packet.pts >= decodable[0].pts]
    return [packet.pts for packet in decodable if not packet.hidden]


def _keyframes(packets: list[_Packet], times: list[int | None]) -> np.ndarray:
    """Return :attr:`Timeline.keyframes`; none if a time is missing or repeated."""
    if None in times or len(set(times)) < len(times):
        return np.empty((0, 2), np.int64)
    times = np.sort(np.array(times, np.int64))
    own = np.array(sorted(p.pts for p in packets if p.keyframe and not p.hidden and p.pts is not None), np.int64)
    own = own[np.isin(own, times)]
    return np.stack([np.searchsorted(times, own), own], axis=1)


def _before_gap(times: list[int], last_decoding_time: int) -> list[int]:
    """Return the times up to the first missing frame of a truncated file.

    Packets are in the order of decoding, so that only frames displayed after the last decoding time can be missing.
    """
    times = sorted(times)
    longest = 1.5 * float(np.median(np.diff(times))) if len(times) > 1 else 0
    for number, (time, following) in enumerate(pairwise(times), start=1):
        if following > last_decoding_time and following - time > longest:
            return times[:number]
    return times


def constant_rate(times: list[int | None], time_base: Fraction, declared: Fraction | None) -> tuple[np.ndarray, float]:
    """Return the decoded frame on display at each frame i of a constant rate, and that rate in frames per second.

    The constant rate is the average one, or, if at least nine in ten frames last equally long, theirs (a few were
    dropped, or one is held). A frame's time is rounded to the nearest i, so that jitter of less than half a frame
    changes nothing, and in whole numbers, so that a file of constant rate gives 0, 1, 2, ... however long it is.
    """
    if len(times) < 2 or None in times or max(times) == min(times):
        return np.arange(len(times)), float(declared or 1)
    times = np.sort(np.array(times, dtype=np.int64))
    steps = np.diff(times)
    usual = np.abs(steps / np.median(steps).clip(1) - 1) < 0.25
    intervals = len(steps)
    if usual.mean() >= 0.9:
        intervals = int(np.rint(steps / steps[usual].mean()).sum())
        if intervals > MOST_FRAMES:  # a frame held for days has a damaged time
            intervals = len(steps)
    since, span = times - times[0], int(times[-1] - times[0])
    due = (2 * since * intervals + span) // (2 * span)
    shown = np.searchsorted(due, np.arange(intervals + 1), side="right") - 1

    rate = intervals / (span * time_base)
    drifts = declared is None or abs(span * time_base * declared - intervals) >= 1
    return shown, float(rate if drifts else declared)


def _ends_in_gif_trailer(path: str) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 64))
        return file.read().rstrip(b"\0").endswith(b";")

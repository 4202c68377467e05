"""Write frames as mp4 and GIF files, one after the other: no more than one is in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from ..files import replacing
from ..pictures.image import to_uint8

SLOWEST, FASTEST = 0.01, 1000.0  # frames per second
# SWS_BICUBIC | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND; older PyAV has no names for the last three
SCALING = 0x4 | 0x2000 | 0x4000 | 0x40000


def save_video(path: str | os.PathLike, frames: torch.Tensor, fps: float) -> None:
    """Write frames [f, h, w, 3], RGB in 0..1 (values outside are clamped), as .mp4 or .gif by the ending of `path`.

    mp4 is H.264 in yuv420p with the index in front, as browsers need it; an odd width or height is made even by
    repeating the last column or row. A GIF loops forever with one palette for the whole clip; viewers play no more than
    50 frames per second, so frames above that are dropped to keep the speed. The file appears whole or not
    at all; missing folders are created.

    Raises:
        ValueError: another suffix, a tensor of another shape or type, no frames, or `fps` not between 0.01 and 1000.
    """
    _writer(path)
    frames = torch.as_tensor(frames).detach()
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.numel() == 0 or not frames.is_floating_point():
        raise ValueError(
            f"Expected frames as a float tensor [frames, height, width, 3] in 0..1, "
            f"got {frames.dtype} of shape {tuple(frames.shape)}."
        )
    stream_videos([path], frames, fps)


def stream_videos(paths: Sequence[str | os.PathLike], frames: Iterable[torch.Tensor], fps: float) -> None:
    """Write frames [h, w, 3] of an iterator into several files at once, each as :func:`save_video` would.

    Where the iterator fails, no file appears.

    Raises:
        ValueError: another suffix, or `fps` not between 0.01 and 1000.
    """
    kinds = [_writer(path) for path in paths]
    if not SLOWEST <= fps <= FASTEST:
        raise ValueError(f"fps is {fps}, but must be between {SLOWEST} and {FASTEST}.")
    with ExitStack() as files:
        partials = [files.enter_context(replacing(path)) for path in paths]
        writers: list[_Mp4 | _Gif] = []
        for picture in map(to_uint8, frames):
            if not writers:
                rate, size = Fraction(fps).limit_denominator(1001), picture.shape[:2]
                writers = [
                    files.enter_context(kind(os.path.abspath(partial), size, rate))
                    for kind, partial in zip(kinds, partials)
                ]
            for writer in writers:
                writer.add(picture)
        for writer in writers:
            writer.finish()


def _writer(path: str | os.PathLike) -> type[_Mp4] | type[_Gif]:
    kind = {".mp4": _Mp4, ".gif": _Gif}.get(Path(path).suffix.lower())
    if kind is None:
        raise ValueError(f"Cannot tell the video format from the name {path}: end it in .mp4 or .gif.")
    return kind


class _Mp4:
    def __init__(self, path: str, size: tuple[int, int], fps: Fraction) -> None:
        self._container = av.open(path, "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=fps, options={"crf": "17"})
        height, width = size
        self._padding = (0, height % 2), (0, width % 2), (0, 0)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        # BT.709, limited range: tagged, because players guess differently without tags
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = 1, 1, 1, ColorRange.MPEG
        self._reformatter = VideoReformatter()

    def add(self, picture: np.ndarray) -> None:
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.pad(picture, self._padding, mode="edge"), "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            interpolation=SCALING,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def __enter__(self) -> _Mp4:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()


class _Gif:
    """Write a GIF in two passes: frames are put into a temporary file while their palette is made."""

    def __init__(self, path: str, size: tuple[int, int], fps: Fraction) -> None:
        self._path, self._size, self._fps = path, size, fps
        self._raw = tempfile.TemporaryFile(dir=Path(path).parent)  # noqa: SIM115 (closed on exit)
        self._times: list[int] = []
        self._count = 0
        self._graph = av.filter.Graph()
        self._source = self._buffer(self._graph, *size)
        palettegen, self._palette = self._graph.add("palettegen"), self._graph.add("buffersink")
        self._source.link_to(palettegen)
        palettegen.link_to(self._palette)
        self._graph.configure()

    @staticmethod
    def _buffer(graph: av.filter.Graph, height: int, width: int, format: str = "rgb24") -> av.filter.FilterContext:
        return graph.add_buffer(width=width, height=height, format=format, time_base=Fraction(1, 100))

    def add(self, picture: np.ndarray) -> None:
        due = round(self._count * 100 / self._fps)  # in hundredths of a second, the clock of GIF
        self._count += 1
        if self._times and due < self._times[-1] + 2:
            return
        self._times.append(due)
        self._source.push(self._frame(picture, due))
        with suppress(av.error.BlockingIOError):  # FFmpeg queues frames until somebody asks for the palette
            self._palette.pull()
        self._raw.write(picture.tobytes())

    @staticmethod
    def _frame(picture: np.ndarray, time: int) -> av.VideoFrame:
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = time, Fraction(1, 100)
        return frame

    def finish(self) -> None:
        self._source.push(None)
        palette = self._palette.pull()
        height, width = self._size
        graph = av.filter.Graph()
        source, colours = self._buffer(graph, height, width), self._buffer(graph, 16, 16, palette.format.name)
        dither, sink = graph.add("paletteuse"), graph.add("buffersink")
        source.link_to(dither, 0, 0)
        colours.link_to(dither, 0, 1)
        dither.link_to(sink)
        graph.configure()
        colours.push(palette)
        colours.push(None)
        last_delay = max(2, round(self._count * 100 / self._fps) - self._times[-1])
        options = {"loop": "0", "final_delay": str(last_delay)}
        with av.open(self._path, "w", format="gif", options=options) as container:
            stream = container.add_stream("gif", rate=100)
            stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
            stream.codec_context.time_base = Fraction(1, 100)
            self._raw.seek(0)
            for time in self._times:
                picture = np.frombuffer(self._raw.read(height * width * 3), np.uint8).reshape(height, width, 3)
                source.push(self._frame(picture, time))
                for frame in self._pulled(sink):
                    container.mux(stream.encode(frame))
            source.push(None)
            for frame in self._pulled(sink):
                container.mux(stream.encode(frame))
            container.mux(stream.encode())

    @staticmethod
    def _pulled(sink: av.filter.FilterContext) -> Iterator[av.VideoFrame]:
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                yield sink.pull()

    def __enter__(self) -> _Gif:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

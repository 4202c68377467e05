"""Write frames as mp4 and GIF files."""

import os
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
    write = {".mp4": _write_mp4, ".gif": _write_gif}.get(Path(path).suffix.lower())
    if write is None:
        raise ValueError(f"Cannot tell the video format from the name {path}: end it in .mp4 or .gif.")
    frames = torch.as_tensor(frames).detach()
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.numel() == 0 or not frames.is_floating_point():
        raise ValueError(
            f"Expected frames as a float tensor [frames, height, width, 3] in 0..1, "
            f"got {frames.dtype} of shape {tuple(frames.shape)}."
        )
    if not SLOWEST <= fps <= FASTEST:
        raise ValueError(f"fps is {fps}, but must be between {SLOWEST} and {FASTEST}.")
    with replacing(path) as partial:
        write(os.path.abspath(partial), frames, Fraction(fps).limit_denominator(1001))


def _write_mp4(path: str, frames: torch.Tensor, fps: Fraction) -> None:
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "17"})
        _, height, width, _ = frames.shape
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        codec = stream.codec_context
        # BT.709, limited range: tagged, because players guess differently without tags
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = 1, 1, 1, ColorRange.MPEG
        reformatter = VideoReformatter()
        for picture in map(to_uint8, frames):
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(picture, "rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                interpolation=SCALING,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _write_gif(path: str, frames: torch.Tensor, fps: Fraction) -> None:
    _, height, width, _ = frames.shape
    hundredths = Fraction(1, 100)  # of a second: the clock of GIF
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=hundredths)
    split, palette, dither, sink = (graph.add(name) for name in ("split", "palettegen", "paletteuse", "buffersink"))
    source.link_to(split)
    split.link_to(dither, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(dither, 0, 1)
    dither.link_to(sink)
    graph.configure()

    time = -2
    for number, picture in enumerate(map(to_uint8, frames)):
        due = round(number * 100 / fps)
        if due < time + 2:
            continue
        time = due
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts, frame.time_base = time, hundredths
        source.push(frame)
    source.push(None)

    last_delay = max(2, round(len(frames) * 100 / fps) - time)
    with av.open(path, "w", format="gif", options={"loop": "0", "final_delay": str(last_delay)}) as container:
        stream = container.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        stream.codec_context.time_base = hundredths
        try:
            while True:
                container.mux(stream.encode(sink.pull()))
        except (av.error.BlockingIOError, av.error.EOFError):
            container.mux(stream.encode())

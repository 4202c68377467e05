"""Clips for tests of reading; the number of a frame is written in its brightness."""

from fractions import Fraction

import av
import numpy as np
import torch


def flat(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), 30 + 6 * number, np.uint8)


def numbers(frames: torch.Tensor) -> list[int]:
    return ((frames.mean((1, 2, 3)) * 255 - 30) / 6).round().int().tolist()


def write(
    path,
    pictures,
    codec="libx264",
    fps=10,
    times=None,
    pix_fmt="yuv420p",
    full_range=False,
    pixel_aspect=1,
    title=None,
    **options,
):
    """Encode with PyAV alone; `times` are seconds, for a variable rate."""
    container_options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=container_options) as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=fps, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width, _ = pictures[0].shape
        stream.pix_fmt = pix_fmt
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        clock = Fraction(1, 90000)
        if times is not None:
            stream.codec_context.time_base = clock
        if full_range:
            stream.codec_context.color_range = 2
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format=pix_fmt, dst_color_range=2 if full_range else None
            )
            if times is not None:
                frame.pts, frame.time_base = round(times[number] / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path

"""Convert decoded frames to upright RGB of a size."""

from __future__ import annotations

import math

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, VideoReformatter

from .colours import needs_mapping, source_matrix, to_srgb
from .timeline import Timeline
from .writing import SCALING


def display_size(frame: av.VideoFrame, pixel_aspect: float) -> tuple[int, int]:
    """Return width and height of a frame as displayed."""
    width, height = max(1, round(frame.width * pixel_aspect)), frame.height
    sideways, _, _ = _orientation(frame)
    return (height, width) if sideways else (width, height)


def picture_of(
    reformatter: VideoReformatter, frame: av.VideoFrame, timeline: Timeline, width: int, height: int, resize: str
) -> np.ndarray:
    """Convert one frame to uint8 sRGB [height, width, 3], upright.

    Raises:
        ValueError: swscale cannot resize it so.
    """
    frame = _seen(frame)
    inner_width, inner_height = width, height
    if resize != "stretch":
        shown_width, shown_height = display_size(frame, timeline.pixel_aspect)
        scales = width / shown_width, height / shown_height
        scale = max(scales) if resize == "crop" else min(scales)
        inner_width, inner_height = max(1, round(shown_width * scale)), max(1, round(shown_height * scale))

    sideways, mirrored, upside_down = _orientation(frame)
    mapped = needs_mapping(timeline.transfer, timeline.primaries)
    # RGB is always full range, but PyAV 14 applies the colour space only if the two ranges differ.
    other_range = ColorRange.MPEG if frame.color_range == ColorRange.JPEG else ColorRange.JPEG
    try:
        picture = reformatter.reformat(
            frame,
            width=inner_height if sideways else inner_width,
            height=inner_width if sideways else inner_height,
            format="rgb48le" if mapped else "rgb24",
            interpolation=SCALING,
            src_colorspace=source_matrix(frame.colorspace, frame.height),
            src_color_range=frame.color_range,
            dst_color_range=other_range,
        ).to_ndarray()
    except av.FFmpegError as error:
        raise ValueError(
            f"Frames of {frame.width}x{frame.height} cannot be resized to {width}x{height} by {resize!r}: use 'pad', "
            "or a size of about their aspect ratio."
        ) from error
    if mapped:
        picture = to_srgb(picture, timeline.transfer, timeline.primaries)
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


def _seen(frame: av.VideoFrame) -> av.VideoFrame:
    """Return the alpha as greys of a frame of one colour that is not opaque, as some masks are; others as they are."""
    if not any(component.is_alpha for component in frame.format.components):
        return frame
    pixels = frame.to_ndarray(format="rgba").reshape(-1, 4)
    alpha = pixels[:, 3]
    if (pixels[:, :3] != pixels[0, :3]).any() or (alpha == 255).all():
        return frame
    greys = np.repeat(alpha.reshape(frame.height, frame.width, 1), 3, axis=2)
    return av.VideoFrame.from_ndarray(greys, "rgb24")


def _orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return how to turn a frame upright: whether to transpose it, and then whether to mirror it horizontally and
    vertically; the nearest quarter turn for a display matrix that is not one."""
    # (x, y) is shown at (a x + c y, b x + d y)
    try:
        matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # PyAV 18 does not know all that FFmpeg 8 gives, such as EXIF; it would be mirrored at most
        turn = math.radians(frame.rotation)
        a, b, c, d = math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    else:
        if matrix is None:
            return False, False, False
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    sideways = abs(b) + abs(c) > abs(a) + abs(d)
    return (True, c < 0, b < 0) if sideways else (False, a < 0, d < 0)

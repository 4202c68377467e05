"""Videos between ComfyUI's folders, the page and the core."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths

from ... import tav_core
from ...tav_core.files import replacing

if TYPE_CHECKING:
    from torch import Tensor

PREVIEW_SIDE = 320  # the longer side of a frame in the preview on Load Video, in pixels


def input_videos() -> list[str]:
    """List the videos and GIFs in the input folder."""
    folder = folder_paths.get_input_directory()
    files = [f for f in os.listdir(folder) if os.path.isfile(os.path.join(folder, f))]
    videos = folder_paths.filter_files_content_types(files, ["video"])
    return sorted({*videos, *(f for f in files if f.lower().endswith(".gif"))})


def input_path(video: str) -> Path:
    """Return the file of one of :func:`input_videos`, or of "name [output]" and the like.

    Raises:
        FileNotFoundError: no name, no such file, or a path outside ComfyUI's folders.
    """
    if not video or not isinstance(video, str):
        raise FileNotFoundError("No video is chosen: upload one, or drop one on the node.")
    name, folder = folder_paths.annotated_filepath(video)
    folder = os.path.abspath(folder or folder_paths.get_input_directory())
    path = os.path.abspath(os.path.join(folder, name))
    if not path.startswith(os.path.join(folder, "")) or not os.path.isfile(path):
        raise FileNotFoundError(f"There is no video {video} in the input folder: upload it or choose another.")
    return Path(path)


def load_clip(video: str, **choice: Any) -> tav_core.VideoClip:
    """Call :func:`tav_core.load_video` on a video of ComfyUI's folders; errors name the video instead of its path."""
    path = input_path(video)
    with _named(path, video):
        return tav_core.load_video(path, **choice)


def clip_facts(video: str, **choice: Any) -> dict:
    """Return facts of the clip that :func:`load_clip` would read, and of the whole file; raises the same errors."""
    path = input_path(video)
    with _named(path, video):
        return _facts(path, path.stat().st_mtime_ns, **choice)


def clip_preview(video: str, **choice: Any) -> tav_core.VideoSheet:
    """Return the frames of :func:`load_clip`, small, as a sprite sheet; raises the same errors."""
    frames = clip_facts(video, **choice)["clip"]["frames"]
    path = input_path(video)
    with _named(path, video):
        return _preview(path, path.stat().st_mtime_ns, **{**choice, "frames": frames})


@contextmanager
def _named(path: Path, video: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace(str(path), video)) from error
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), video)) from error


@lru_cache(maxsize=32)
def _facts(path: Path, _modified: int, **choice: Any) -> dict:
    return {"clip": asdict(tav_core.probe_clip(path, **choice)), "source": asdict(tav_core.probe_video(path))}


@lru_cache(maxsize=8)
def _preview(path: Path, _modified: int, *, frames: int, width: int, height: int, **choice: Any) -> tav_core.VideoSheet:
    width, height = tav_core.sheet_frame_size(frames, width, height, PREVIEW_SIDE)
    clip = tav_core.load_video(path, frames, width=width, height=height, **choice)
    return tav_core.video_sheet(clip.frames)


def shown_video(frames: Tensor, fps: float, label: str) -> dict:
    """Write frames [f, h, w, 3] as a sprite sheet into ComfyUI's temp folder; return what the page needs to play it."""
    sheet = tav_core.video_sheet(frames[..., :3])
    name = f"tav_video_{uuid.uuid4().hex}.jpg"
    with replacing(Path(folder_paths.get_temp_directory()) / name) as partial:
        partial.write_bytes(sheet.jpeg)
    return {
        "filename": name,
        "subfolder": "",
        "type": "temp",
        "label": label,
        "fps": fps,
        "size": [frames.shape[2], frames.shape[1]],
        "sheet": sheet_layout(sheet),
    }


def sheet_layout(sheet: tav_core.VideoSheet) -> dict:
    """Return where the page finds each frame on a sprite sheet."""
    return {"frames": sheet.frames, "columns": sheet.columns, "width": sheet.width, "height": sheet.height}

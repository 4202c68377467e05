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
from ...tav_core.errors import short
from ...tav_core.files import replacing
from ...tav_core.video.reading import clip_bytes
from ...tav_core.video.stills import PICTURES, are_stills, is_animated_webp

if TYPE_CHECKING:
    from torch import Tensor

_MASKS = "clipspace"  # ComfyUI's own folder of pictures
PREVIEW_SIDE = 320  # the longer side of a frame in the preview on Load Video, in pixels


def input_videos() -> list[str]:
    """List the videos in the input folder, and its folders of pictures, whose names end in "/"; what must not be read
    is left out, as an error here would take the node off ComfyUI's list."""
    root = Path(folder_paths.get_input_directory())
    offered = [path for path in root.iterdir() if not path.name.startswith(".") and _is_offered(path)]
    return sorted(f"{path.name}/" if path.is_dir() else path.name for path in offered)


def _is_offered(path: Path) -> bool:
    try:
        if path.is_dir():
            return path.name != _MASKS and any(file.suffix.lower() in PICTURES for file in path.iterdir())
        return path.suffix.lower() in tav_core.VIDEO_ENDINGS or is_animated_webp(path)
    except OSError:
        return False


def input_path(video: str) -> Path:
    """Return the path of one of :func:`input_videos`, of "name [output]" and the like, or of numbered pictures such as
    "frames/frame_%04d.png".

    Raises:
        FileNotFoundError: no name, no such file, or a path outside ComfyUI's folders.
    """
    if not video or not isinstance(video, str):
        raise FileNotFoundError("No video is chosen: upload one, or drop one on the node.")
    name, folder = folder_paths.annotated_filepath(video)
    folder = os.path.abspath(folder or folder_paths.get_input_directory())
    path = Path(os.path.abspath(os.path.join(folder, name)))
    if not str(path).startswith(os.path.join(folder, "")) or not (os.path.exists(path) or are_stills(path)):
        raise FileNotFoundError(f"There is no video {short(video)} in the input folder: upload it or choose another.")
    return path


def time_changed(video: str) -> float:
    """Return when a video, a folder of pictures, or the folder of numbered ones was changed; errors as for
    :func:`input_path`."""
    path = input_path(video)
    return (path if path.exists() else path.parent).stat().st_mtime


def load_clip(video: str, **choice: Any) -> tav_core.VideoClip:
    """Call :func:`tav_core.load_video` on a video of ComfyUI's folders; errors name the video instead of its path."""
    path = input_path(video)
    with named(path, video):
        return tav_core.load_video(path, **choice)


def clip_facts(video: str, **choice: Any) -> dict:
    """Return facts of the clip that :func:`load_clip` would read, of the whole file, and the bytes that the clip takes;
    raises the same errors."""
    path = input_path(video)
    with named(path, video):
        return _facts(path, time_changed(video), **choice)


def clip_preview(video: str, **choice: Any) -> tav_core.VideoSheet:
    """Return the frames of :func:`load_clip`, small, as a sprite sheet; raises the same errors."""
    frames = clip_facts(video, **choice)["clip"]["frames"]
    path = input_path(video)
    with named(path, video):
        return _preview(path, time_changed(video), **{**choice, "frames": frames})


@contextmanager
def named(path: Path, video: str) -> Iterator[None]:
    """Name a file in errors by its name in ComfyUI, instead of its path on the server."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(_without_paths(error, path, video)) from error
    except (OSError, ValueError) as error:
        raise ValueError(_without_paths(error, path, video)) from error


def _without_paths(error: Exception, path: Path, name: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}; check its permissions."
    return str(error).replace(str(path), name).replace(str(path.parent), "its folder")


@lru_cache(maxsize=32)
def _facts(path: Path, _modified: float, **choice: Any) -> dict:
    clip = tav_core.probe_clip(path, **choice)
    size = clip_bytes(clip.frames, clip.width, clip.height)
    return {"clip": asdict(clip), "source": asdict(tav_core.probe_video(path)), "bytes": size}


@lru_cache(maxsize=8)
def _preview(
    path: Path, _modified: float, *, frames: int, width: int, height: int, **choice: Any
) -> tav_core.VideoSheet:
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

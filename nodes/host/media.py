"""Videos between ComfyUI's folders, the page and the core."""

from __future__ import annotations

import uuid
from pathlib import Path

import folder_paths

from ... import tav_core


def shown_video(frames, fps: float, label: str) -> dict:
    """Put frames [f, h, w, 3] where the page finds them, and say where and what they are.

    The file is a sheet of frames in ComfyUI's temp folder, which goes when ComfyUI ends.
    """
    sheet = tav_core.video_sheet(frames[..., :3])
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    name = f"tav_video_{uuid.uuid4().hex}.jpg"
    (folder / name).write_bytes(sheet.jpeg)
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
    """Where the page finds each frame on a sheet."""
    return {"frames": sheet.frames, "columns": sheet.columns, "width": sheet.width, "height": sheet.height}

"""Read the videos that ``tav evaluate`` scores, from files and from the folders of runs, each with its source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..diffusion.settings import ClipSettings
from ..files import file_name
from ..scoring.scores import VideoResult
from ..text_table import counted
from ..video.reading import load_video, probe_video
from .config import Config
from .run_folder import CONFIG

_SHORTER_SIDE = 512
"""Larger videos are scaled down to this size; CLIP and optical flow use less."""


@dataclass(frozen=True)
class SourceClip:
    """Name the clip that videos were made from, and its frames: every ``stride``-th from ``start``, fitted by
    ``resize`` ("stretch", "crop" or "pad")."""

    path: str | os.PathLike
    start: int = ClipSettings.start
    stride: int = ClipSettings.stride
    resize: str = ClipSettings.resize


def read_result(
    path: str | os.PathLike, name: str, prompt: str = "", source: SourceClip | None = None
) -> tuple[VideoResult, str]:
    """Read a whole video, and the frames of its source that correspond to its own, at its size.

    If the source has fewer frames, motion is compared over those.

    Returns:
        the video, and a sentence on which frames are compared, empty when both have the same number.

    Raises:
        FileNotFoundError, ValueError: a file is missing or not a video, or the source has no frame at ``start``.
    """
    info = probe_video(path)
    scale = min(1, _SHORTER_SIDE / min(info.width, info.height))
    width, height = (max(8, round(size * scale / 8) * 8) for size in (info.width, info.height))
    frames = load_video(path, info.frames, width=width, height=height).frames
    if source is None:
        return VideoResult(name, frames, prompt), ""
    there = probe_video(source.path).frames
    compared = min(len(frames), max(1, len(range(source.start, there, max(1, source.stride)))))
    clip = load_video(source.path, compared, source.start, source.stride, width, height, source.resize)
    note = ""
    if there != len(frames):
        note = (
            f"{name} has {counted(len(frames), 'frame')}, {Path(source.path).name} has {there}: motion is compared "
            f"over {compared} of them, the source's from frame {source.start} in steps of {source.stride}."
        )
    return VideoResult(name, frames, prompt, clip.frames), note


def read_run(folder: str | os.PathLike, source: SourceClip | None) -> list[VideoResult]:
    """Read the videos in a run's folder (as ``tav run`` and ``tav sample`` write it), each with its prompt and source.

    Raises:
        FileNotFoundError: the configuration or the source is missing.
    """
    folder = Path(folder)
    prompts = _config_of_run(folder).validation_data.prompts
    videos = {prompt: folder / f"{file_name(prompt)}.mp4" for prompt in prompts}
    return [read_result(path, prompt, prompt, source)[0] for prompt, path in videos.items() if path.is_file()]


def source_of_run(folder: str | os.PathLike) -> SourceClip | None:
    """Return the clip of a run; None when it has no file. Errors as for :meth:`Config.read`."""
    data = _config_of_run(Path(folder)).train_data
    if not data.video_path:
        return None
    return SourceClip(data.video_path, data.sample_start_idx, data.sample_frame_rate, data.resize)


def _config_of_run(folder: Path) -> Config:
    runs = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    if runs and not (folder / CONFIG).exists():
        raise FileNotFoundError(f"{folder} holds {counted(len(runs), 'run')}: give one of them, such as {runs[0]}.")
    return Config.read(folder / CONFIG)


def result_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Return file names without ending where these are unique, else the paths as given."""
    stems = [Path(path).stem for path in paths]
    return [stem if stems.count(stem) == 1 else os.fspath(path) for stem, path in zip(stems, paths)]

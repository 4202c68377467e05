"""Read the folder of a study: videos of several systems, and the prompts they were rendered from.

::

    results/
      prompts.csv            two columns, name and prompt; or prompts.json: {"NAME": "prompt"}
      SYSTEM/NAME.mp4        one folder per system; the same NAME is the same clip and prompt
      source/NAME.mp4        optional: the clip that was edited, shown above the pair

A NAME may lead into folders (``skiing/a-robot``). The source of ``skiing/a-robot`` is ``source/skiing/a-robot``, else
``source/skiing``, else ``source`` itself (``results/source.mp4``). Without a prompts file the prompts are those of the
``config.yaml`` that ``tav run`` leaves beside its videos, so that a system's folder may be the output of ``tav run``,
or hold several of them. Videos may be mp4, webm or any other format that FFmpeg decodes.
"""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..choices import VIDEO_ENDINGS
from ..errors import check_text
from ..files import file_name, parse_json
from ..terminal.config import Config
from ..terminal.run_folder import CONFIG
from ..text_table import counted

SOURCE = "source"


@dataclass(frozen=True)
class Clip:
    """Hold one clip with one prompt: its name, the prompt, the clip that was edited, and each system's video."""

    name: str
    prompt: str
    source: Path | None
    videos: dict[str, Path]


@dataclass(frozen=True)
class Results:
    """Hold the systems in alphabetical order, and the clips that all of them have."""

    folder: Path
    systems: tuple[str, ...]
    clips: tuple[Clip, ...]


def read_results(folder: str | os.PathLike) -> Results:
    """Find the videos of a study, in the layout of this module's docstring.

    Videos without a prompt are left out, with a warning if there is a prompts file.

    Raises:
        FileNotFoundError: the folder does not exist, or a system lacks a video of a prompt.
        ValueError: there are fewer than two systems, no prompts, or conflicting ones.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: give the one that holds a folder of videos per system.")
    systems = sorted(
        path.name for path in folder.iterdir() if path.is_dir() and path.name != SOURCE and path.name[0] not in "._"
    )
    if len(systems) < 2:
        there = f"only {systems[0]}" if systems else "none"
        raise ValueError(f"A study compares at least two systems, each a folder in {folder}, but there is {there}.")
    prompts = _prompts(folder, systems)
    clips = []
    for name, prompt in prompts.items():
        videos = {system: _video(folder / system / name) for system in systems}
        for system, video in videos.items():
            if video is None:
                raise FileNotFoundError(
                    f"{folder / system} has no video of {name!r}: every system needs one of every prompt, "
                    f"here {folder / system / name}.mp4."
                )
        clips.append(Clip(name, prompt, _source(folder, name), videos))
    return Results(folder, tuple(systems), tuple(clips))


def _video(stem: Path) -> Path | None:
    paths = (stem.with_name(stem.name + suffix) for suffix in VIDEO_ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def _source(folder: Path, name: str) -> Path | None:
    """Find the source video: ``source/a/b``, else ``source/a``, else ``source``."""
    stem = folder / SOURCE / name
    return next(filter(None, map(_video, [stem, *stem.parents[: len(Path(name).parts)]])), None)


def _prompts(folder: Path, systems: Iterable[str]) -> dict[str, str]:
    files = [path for path in (folder / "prompts.csv", folder / "prompts.json") if path.is_file()]
    if len(files) == 2:
        raise ValueError(f"{folder} has both prompts.csv and prompts.json: keep one of them.")
    if not files:
        return _prompts_of_runs(folder, systems)
    pairs = _read_csv(files[0]) if files[0].suffix == ".csv" else _read_json(files[0])
    prompts = _unique(((_without_suffix(name), prompt) for name, prompt in pairs), files[0])
    _warn_of_others(folder, systems, prompts)
    return prompts


def _read_csv(path: Path) -> list[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"name", "prompt"} <= set(rows.fieldnames or ()):
                raise ValueError(f"The first line of {path} must name the columns: name,prompt.")
            return [(row["name"] or "", row["prompt"] or "") for row in rows]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as CSV in UTF-8 ({error}): export it again.") from error


def _read_json(path: Path) -> list[tuple[str, str]]:
    try:
        prompts = parse_json(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON in UTF-8 ({error}): write it again.") from error
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str) for prompt in prompts.values()):
        raise ValueError(f'{path} must map the name of each video to its prompt: {{"NAME": "prompt"}}.')
    return list(prompts.items())


def _prompts_of_runs(folder: Path, systems: Iterable[str]) -> dict[str, str]:
    """Read the prompts of every ``config.yaml`` that ``tav run`` left in a system's folder or its subfolders."""
    prompts: dict[str, str] = {}
    for system in systems:
        for path in sorted((folder / system).rglob(CONFIG)):
            texts = Config.read(path).validation_data.prompts
            within = path.parent.relative_to(folder / system)
            prompts |= {(within / file_name(prompt)).as_posix(): prompt for prompt in texts}
    if not prompts:
        raise ValueError(
            f"{folder} has no prompts: write {folder / 'prompts.csv'} "
            "with the columns name,prompt, where the name is a video's without its ending."
        )
    return prompts


def _unique(pairs: Iterable[tuple[str, str]], path: Path) -> dict[str, str]:
    prompts: dict[str, str] = {}
    for name, prompt in pairs:
        if not name or not prompt.strip():
            raise ValueError(f"{path} has a name without a prompt or a prompt without a name: {name!r}, {prompt!r}.")
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts or not PurePath(name).name:
            raise ValueError(f"{path} has the name {name!r}: give that of a video within each system's folder.")
        if name in prompts:
            raise ValueError(f"{path} has {name!r} twice: a name stands for one clip with one prompt.")
        prompts[check_text(name, f"A name in {path}")] = check_text(prompt.strip(), f"The prompt of {name} in {path}")
    if not prompts:
        raise ValueError(f"{path} is empty: give the name and the prompt of at least one video.")
    return prompts


def _without_suffix(name: str) -> str:
    name = name.strip().replace("\\", "/")
    return next((name.removesuffix(suffix) for suffix in VIDEO_ENDINGS if name.endswith(suffix)), name)


def _warn_of_others(folder: Path, systems: Iterable[str], prompts: dict[str, str]) -> None:
    others = [
        path.relative_to(folder)
        for system in systems
        for path in sorted((folder / system).rglob("*"))
        if path.suffix in VIDEO_ENDINGS and path.relative_to(folder / system).with_suffix("").as_posix() not in prompts
    ]
    if others:
        left_out = f"{counted(len(others), 'video')} without a prompt"
        warnings.warn(f"Left out: {left_out}, such as {others[0]}.", stacklevel=2)

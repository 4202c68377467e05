"""Make the items of a sweep, a configuration each, from a folder of YAML files or a benchmark's list of clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..terminal.config import Config
from . import tgve


@dataclass(frozen=True)
class Item:
    """Hold one configuration of a sweep."""

    name: str
    """Folder of its results, within that of the sweep."""
    config: Config | None
    """None when it is invalid."""
    error: str = ""
    """The reason, one sentence."""
    kinds: tuple[str, ...] = ()
    """Kind of edit of each prompt, if the benchmark names it."""


def folder_items(source: Path, output: Path, values: dict[str, Any]) -> list[Item]:
    """Make an item per YAML file in ``source`` and its subfolders, in the order of their names.

    Args:
        output: folder of the sweep; configurations in it are ignored.
        values: settings that take precedence, as for :meth:`Config.with_values`.

    Raises:
        ValueError: there are none, or two with the same name.
    """
    files = sorted(file for ending in ("yaml", "yml") for file in source.rglob(f"*.{ending}"))
    # hidden files are skipped: macOS leaves "._a.yaml" beside "a.yaml" on foreign disks
    files = [f for f in files if output.resolve() not in f.resolve().parents and not f.name.startswith(".")]
    names = [file.relative_to(source).with_suffix("").as_posix() for file in files]
    if not files:
        raise ValueError(f"There is no YAML file in {source}: give a folder with configurations such as configs/.")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{source} holds {', '.join(sorted(twice))} as .yaml and as .yml: rename one of them.")

    def configured(file: Path) -> Config:
        return Config.read(file).with_values(values)

    return [_item(name, output, partial(configured, file)) for name, file in zip(names, files)]


def tgve_items(source: Path, base: Config, videos: Path, output: Path) -> list[Item]:
    """Make an item per clip of a list in the LOVEU-TGVE layout, with the settings of ``base``.

    Raises:
        FileNotFoundError, ValueError: as :func:`tgve.read_list`.
    """

    def configured(entry: tgve.Entry) -> Config:
        return replace(
            base,
            train_data=replace(base.train_data, video_path=str(tgve.find_video(entry, videos)), prompt=entry.caption),
            validation_data=replace(base.validation_data, prompts=tuple(entry.edits.values())),
        )

    return [
        _item(f"{entry.section}/{entry.name}".lstrip("/"), output, partial(configured, entry), tuple(entry.edits))
        for entry in tgve.read_list(source)
    ]


def _item(name: str, output: Path, make: Callable[[], Config], kinds: tuple[str, ...] = ()) -> Item:
    try:
        config = make()
    except (ValueError, OSError) as error:
        return Item(name, None, str(error))
    if not (output / name).resolve().is_relative_to(output.resolve()):
        return Item(name, None, f"{name!r} lies outside the folder of the sweep: rename it.")
    # absolute paths, because another machine may run in another folder
    changes: dict[str, Any] = {"output_dir": str((output / name).resolve()), "resume_from_checkpoint": None}
    for key in ("pretrained_model_path", "tokenizer_path"):
        if getattr(config, key):
            changes[key] = str(Path(getattr(config, key)).resolve())
    if config.train_data.video_path:
        path = str(Path(config.train_data.video_path).resolve())
        changes["train_data"] = replace(config.train_data, video_path=path)
    return Item(name, replace(config, **changes), kinds=kinds)

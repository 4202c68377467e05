"""What lies in the output folder of a run: the names of its files, and its configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .config import Config

TUNED, STATE, INVERTED = "tuned.safetensors", "tune-state.safetensors", "inverted.safetensors"
LOSSES, CONFIG, SHEET, SAMPLES = "losses.csv", "config.yaml", "contact-sheet.png", "samples"
_DECIDES = ("train_data", "attention", "temporal_attention", "joint_norm", "trainable_modules", "use_8bit_adam")
"""What a tuning cannot be resumed with another one of."""


def note_prompts(folder: str | os.PathLike, config: Config) -> None:
    """Add the prompts of ``config`` to those in the configuration that lies in ``folder``, for who looks for the
    videos; where there is none, ``config`` becomes it. Errors as for :meth:`Config.read` and :meth:`Config.save`."""
    path = Path(folder) / CONFIG
    there = Config.read(path) if path.is_file() else config
    prompts = dict.fromkeys((*there.validation_data.prompts, *config.validation_data.prompts))
    with_prompts(there, tuple(prompts)).save(path)


def with_prompts(config: Config, prompts: tuple[str, ...]) -> Config:
    """A copy of ``config`` that renders ``prompts``."""
    return replace(config, validation_data=replace(config.validation_data, prompts=prompts))


def check_same_tuning(config: Config, also: Sequence[str] = ()) -> None:
    """Raise ValueError when the tuning in the output folder learned something else, or in another network, or when a
    setting in ``also`` was another one."""
    folder = Path(config.output_dir)
    there = Config.read(folder / CONFIG)
    other = [name for name in (*_DECIDES, *also) if getattr(config, name) != getattr(there, name)]
    if other:
        raise ValueError(
            f"{folder} holds a tuning of another {', '.join(other)}, see its {CONFIG}: resume with the same, or tune "
            "into another folder."
        )

"""Name the files in the output folder of a run, and compare its configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .config import Config

TUNED, STATE, INVERTED = "tuned.safetensors", "tune-state.safetensors", "inverted.safetensors"
LOSSES, CONFIG, SHEET, SAMPLES = "losses.csv", "config.yaml", "contact-sheet.png", "samples"
_FIXED_SETTINGS = ("train_data", "attention", "temporal_attention", "joint_norm", "trainable_modules", "use_8bit_adam")
"""Settings that must be unchanged for a run to be resumed."""


def note_prompts(folder: str | os.PathLike, config: Config) -> None:
    """Add the prompts of ``config`` to the configuration in ``folder``, by which ``tav evaluate`` and ``tav study``
    find the videos; save ``config`` if there is none. Errors as for :meth:`Config.read` and :meth:`Config.save`."""
    path = Path(folder) / CONFIG
    there = Config.read(path) if path.is_file() else config
    prompts = dict.fromkeys((*there.validation_data.prompts, *config.validation_data.prompts))
    with_prompts(there, tuple(prompts)).save(path)


def with_prompts(config: Config, prompts: tuple[str, ...]) -> Config:
    """Return a copy of ``config`` that renders ``prompts``."""
    return replace(config, validation_data=replace(config.validation_data, prompts=prompts))


def check_same_tuning(config: Config, also: Sequence[str] = ()) -> None:
    """Raise ValueError when the tuning in the output folder has another clip, network or trainable modules, or another
    value of a setting in ``also``."""
    folder = Path(config.output_dir)
    there = Config.read(folder / CONFIG)
    other = [name for name in (*_FIXED_SETTINGS, *also) if getattr(config, name) != getattr(there, name)]
    if other:
        raise ValueError(
            f"{folder} holds a tuning with another {', '.join(other)}, see its {CONFIG}: resume with the same, or "
            "tune into another folder."
        )

"""Where ComfyUI keeps this pack's files."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ... import tav_core

KEY = "tune_a_video"
"""Names the model folder, and what this pack adds to a MODEL or a LATENT."""


def register_model_folder() -> None:
    """Make models/tune_a_video known to ComfyUI, beside what extra_model_paths.yaml says of it."""
    folder_paths.add_model_folder_path(KEY, os.path.join(folder_paths.models_dir, KEY), is_default=True)
    folder_paths.folder_names_and_paths[KEY] = (folder_paths.folder_names_and_paths[KEY][0], {".safetensors"})


def tuned_files() -> list[str]:
    """Names of the saved motions."""
    return folder_paths.get_filename_list(KEY)


def tuned_path(name: str) -> Path:
    """The file of a saved motion.

    Raises:
        FileNotFoundError: there is none of this name.
    """
    path = folder_paths.get_full_path(KEY, name)
    if path is None:
        raise FileNotFoundError(f"There is no tuned file {name} in models/tune_a_video: choose another.")
    return Path(path)


def tuned_name(path: Path) -> str:
    """What :func:`tuned_files` calls a file that :func:`new_tuned_path` named."""
    return str(path.relative_to(Path(folder_paths.get_folder_paths(KEY)[0]).resolve()))


def new_tuned_path(name: str) -> Path:
    """Where to save a motion called ``name``: a file that does not exist yet.

    Raises:
        ValueError: it is no name for a file, or nothing can be written there.
    """
    folder = folder_paths.get_folder_paths(KEY)[0]
    try:
        path = tav_core.unused_path(folder, name, ".safetensors")
        tav_core.check_writable(path.parent)
    except OSError as error:
        raise ValueError(
            f"Nothing can be saved as {name!r} ({error.strerror}): give another name, or make {folder} writable."
        ) from error
    return path

"""Paths of this pack's files in ComfyUI's folders."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ... import tav_core

KEY = "tune_a_video"
"""Name of the model folder, of the routes, and of this pack's entries in a MODEL or a LATENT."""


def register_model_folder() -> None:
    """Register models/tune_a_video with ComfyUI, before any folders of extra_model_paths.yaml."""
    folder_paths.add_model_folder_path(KEY, os.path.join(folder_paths.models_dir, KEY), is_default=True)
    folder_paths.folder_names_and_paths[KEY] = (folder_paths.folder_names_and_paths[KEY][0], {".safetensors"})


def tuned_files() -> list[str]:
    """List the names of the saved motions; hidden ones are files that are being written."""
    names = folder_paths.get_filename_list(KEY)
    return [name for name in names if not any(part.startswith(".") for part in Path(name).parts)]


def tuned_path(name: str) -> Path:
    """Return the file of a saved motion.

    Raises:
        FileNotFoundError: there is no file of this name.
    """
    path = folder_paths.get_full_path(KEY, name)
    if path is None:
        raise FileNotFoundError(f"There is no tuned file {name} in models/tune_a_video: choose another.")
    return Path(path)


def tuned_name(path: Path) -> str:
    """Return the name in :func:`tuned_files` of a path that :func:`new_tuned_path` returned."""
    return str(path.relative_to(folder_paths.get_folder_paths(KEY)[0]))


def new_tuned_path(name: str) -> Path:
    """Return the path to save a motion called ``name``: a file that does not exist yet.

    Raises:
        ValueError: it is not a valid file name, or the folder is not writable.
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

"""Scores in ComfyUI: CLIP models from its folders, its own CLIP Vision, memory manager, progress and Cancel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from torch import Tensor

from ... import tav_core
from ...tav_core.scoring.clip import is_there
from ...tav_core.scoring.motion import MISSING_OPENCV
from ...tav_core.scoring.scores import measurable
from ...tav_core.scoring.table import title

if TYPE_CHECKING:
    from comfy.clip_vision import ClipVisionModel

AUTO, NONE = "auto", "none"
_FOLDER = "clip_vision"
_BATCH = 16


def clip_models() -> list[str]:
    """List the choices of a CLIP model: auto, none, and the folders in models/clip_vision with both of its towers."""
    return [AUTO, NONE, *sorted(_folders())]


def score_results(
    results: list[tav_core.VideoResult], clip: str, pickscore: str, clip_vision: ClipVisionModel | None
) -> tav_core.ScoreTable:
    """Score videos with the chosen models; see :func:`tav_core.score_videos`.

    Args:
        clip, pickscore: of :func:`clip_models`; auto: the folder of the model's name, or the Hugging Face cache.
        clip_vision: ComfyUI's CLIP_VISION for the consistency of frames, or None.

    Raises:
        ValueError: a model cannot be read.
    """
    scorers, notes = [], []
    for choice, name in ((clip, tav_core.CLIP_MODEL), (pickscore, tav_core.PICKSCORE_MODEL)):
        if choice == NONE:
            scorers.append(None)
        elif choice != AUTO or _is_there(choice, name):
            scorers.append(tav_core.ClipScorer.load(_weights(choice, name)))
        else:
            scorers.append(None)
            notes.append(_how_to_get(name, clip_vision is not None))
    device = comfy.model_management.get_torch_device()
    models = [scorer.model for scorer in scorers if scorer]
    size = sum(tensor.nbytes for model in models for tensor in model.parameters())
    comfy.model_management.free_memory(1.2 * size, device)
    for model in models:
        model.to(device)
        for part in model.modules():
            part.register_forward_pre_hook(_stop_if_cancelled)
    progress = comfy.utils.ProgressBar(len(results))

    def on_video(number: int) -> None:
        _stop_if_cancelled()
        progress.update_absolute(number)

    def embed_images(frames: Tensor) -> Tensor:
        batches = frames.split(_BATCH)
        return torch.cat([clip_vision.encode_image(batch)["image_embeds"].float().cpu() for batch in batches])

    return tav_core.score_videos(results, *scorers, embed_images if clip_vision else None, notes, on_video)


def measurable_scores(clip: str, pickscore: str, clip_vision: bool, prompt: bool, reconstruction: bool) -> dict:
    """Return what Evaluate Video will be able to measure, before it runs and without loading a model.

    Returns:
        ``{"scores": [title, ...], "notes": [how to get what is missing, ...]}``
    """
    there, notes = {}, []
    for choice, name in ((clip, tav_core.CLIP_MODEL), (pickscore, tav_core.PICKSCORE_MODEL)):
        there[name] = choice != NONE and _is_there(choice, name)
        if choice != NONE and not there[name] and not reconstruction:
            notes.append(_how_to_get(name, clip_vision))
    names = measurable(*there.values(), clip_vision, prompt, reconstruction)
    if "motion_fidelity" not in names and not reconstruction:
        notes.append(MISSING_OPENCV)
    return {"scores": [title(name) for name in names], "notes": notes}


def shown_table(table: tav_core.ScoreTable) -> str:
    """Return a table for the page as JSON: ``columns`` (titles), ``rows`` (name, cells of text and best), ``notes``."""
    rows = [
        {
            "name": row.name,
            "prompt": row.prompt,
            "cells": [{"text": table.figure(row, name), "best": row in table.best(name)} for name in table.columns],
        }
        for row in table.rows
    ]
    return json.dumps({"columns": [title(name) for name in table.columns], "rows": rows, "notes": list(table.notes)})


def _is_there(choice: str, name: str) -> bool:
    return is_there(_weights(choice, name))


def _weights(choice: str, name: str) -> Path | str:
    """Return the folder of a choice; for auto, that of the model's name, or the name for the Hugging Face cache."""
    folders = _folders()
    return folders.get(Path(name).name, name) if choice == AUTO else folders[choice]


def _how_to_get(name: str, clip_vision: bool) -> str:
    consistency = "" if clip_vision else "frame consistency and "
    measured = f"{consistency}textual alignment" if name == tav_core.CLIP_MODEL else "PickScore"
    return (
        f"For {measured}, put config.json, model.safetensors, vocab.json and merges.txt of huggingface.co/{name} into "
        f"models/{_FOLDER}/{Path(name).name}."
    )


def _stop_if_cancelled(*_: object) -> None:
    comfy.model_management.throw_exception_if_processing_interrupted()


def _folders() -> dict[str, Path]:
    """Return the folders of CLIP models with both towers in the layout of transformers, by name."""
    found = {}
    for root in folder_paths.get_folder_paths(_FOLDER):
        for config in Path(root).glob("*/config.json"):
            if (config.parent / "vocab.json").is_file():
                found.setdefault(config.parent.name, config.parent)
    return found

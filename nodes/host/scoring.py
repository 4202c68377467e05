"""Scores in ComfyUI: CLIP models from its folders, its own CLIP Vision, memory manager, progress and Cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from torch import Tensor

from ... import tav_core

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
    for choice, name, measured in (
        (clip, tav_core.CLIP_MODEL, "textual alignment" if clip_vision else "frame consistency and textual alignment"),
        (pickscore, tav_core.PICKSCORE_MODEL, "PickScore"),
    ):
        scorer = None if choice == NONE else tav_core.find_scorer(_folder(choice, name), name)[0]
        if scorer is None and choice != NONE:
            notes.append(
                f"For {measured}, put config.json, model.safetensors, vocab.json and merges.txt of "
                f"huggingface.co/{name} into models/{_FOLDER}/{Path(name).name}."
            )
        scorers.append(scorer)
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


def _stop_if_cancelled(*_: object) -> None:
    comfy.model_management.throw_exception_if_processing_interrupted()


def _folder(choice: str, name: str) -> Path | None:
    """Return the folder of a choice; None for auto without a folder of the model's name."""
    folders = _folders()
    return folders.get(Path(name).name) if choice == AUTO else folders[choice]


def _folders() -> dict[str, Path]:
    """Return the folders of CLIP models with both towers in the layout of transformers, by name."""
    found = {}
    for root in folder_paths.get_folder_paths(_FOLDER):
        for config in Path(root).glob("*/config.json"):
            if (config.parent / "vocab.json").is_file():
                found.setdefault(config.parent.name, config.parent)
    return found

"""Score videos side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from torch import Tensor

from . import metrics
from .clip import CLIP_MODEL, PICKSCORE_MODEL, ClipScorer, how_to_get
from .motion import MISSING_OPENCV, motion_fidelity
from .table import ScoreRow, ScoreTable

_MEASURES = {CLIP_MODEL: "frame consistency and textual alignment", PICKSCORE_MODEL: "PickScore"}


@dataclass(frozen=True)
class VideoResult:
    """Hold a video to score."""

    name: str
    frames: Tensor
    """``[f, h, w, 3]`` in 0..1."""
    prompt: str = ""
    """The prompt; without it there is no textual alignment and no PickScore."""
    source: Tensor | None = None
    """The corresponding frames of its source, ``[f, h, w, 3]``; without them there is no motion fidelity."""
    rebuilt: bool = False
    """It is the reconstructed source rather than an edit: only PSNR and SSIM are measured."""


def score_video(
    result: VideoResult,
    clip: ClipScorer | None = None,
    pickscore: ClipScorer | None = None,
    embed_images: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, float]:
    """Compute the scores of one video by name, those for which the models and the source are given.

    See :mod:`tav_core.scoring.metrics`. A single frame has no consistency and no motion.

    Args:
        clip: for frame consistency, consecutive consistency and textual alignment.
        pickscore: the PickScore model.
        embed_images: frames ``[f, h, w, 3]`` -> CLIP image embeddings ``[f, d]``; for both consistencies, instead
            of ``clip``.

    Raises:
        ValueError: a reconstruction differs in shape from its source.
    """
    frames, prompt = result.frames, result.prompt
    if result.rebuilt:
        return {"psnr": metrics.psnr(frames, result.source), "ssim": metrics.ssim(frames, result.source)}
    scores = {}
    images, text = clip.embed(frames, prompt) if clip else (None, None)
    embeddings = embed_images(frames) if embed_images else images
    if embeddings is not None and len(frames) > 1:
        scores["frame_consistency"] = metrics.frame_consistency(embeddings)
        scores["consecutive_consistency"] = metrics.consecutive_consistency(embeddings)
    if clip and prompt:
        scores["textual_alignment"] = metrics.textual_alignment(images, text)
    if pickscore and prompt:
        scores["pick_score"] = metrics.pick_score(*pickscore.embed(frames, prompt), pickscore.logit_scale)
    if result.source is not None and min(len(frames), len(result.source)) > 1:
        scores["motion_overlap"] = metrics.motion_overlap(frames, result.source)
    if len(frames) > 2:
        scores["steadiness"] = metrics.steadiness(frames)
    if result.source is not None and min(len(frames), len(result.source)) > 1 and find_spec("cv2"):
        scores["motion_fidelity"] = motion_fidelity(result.source, frames)
    return scores


def measurable(clip: bool, pickscore: bool, embed_images: bool, prompt: bool, rebuilt: bool) -> list[str]:
    """Return the names of the scores that :func:`score_video` can compute of a video with a source.

    Args:
        clip, pickscore, embed_images, prompt, rebuilt: whether they are there, or hold.
    """
    if rebuilt:
        return ["psnr", "ssim"]
    possible = {
        "frame_consistency": clip or embed_images,
        "consecutive_consistency": clip or embed_images,
        "textual_alignment": clip and prompt,
        "pick_score": pickscore and prompt,
        "motion_fidelity": bool(find_spec("cv2")),
        "motion_overlap": True,
        "steadiness": True,
    }
    return [name for name, there in possible.items() if there]


def score_videos(
    results: Sequence[VideoResult],
    clip: ClipScorer | None = None,
    pickscore: ClipScorer | None = None,
    embed_images: Callable[[Tensor], Tensor] | None = None,
    notes: Sequence[str] = (),
    on_video: Callable[[int], None] | None = None,
) -> ScoreTable:
    """Score several videos into a table; arguments and errors as for :func:`score_video`.

    Args:
        notes: further sentences below the table, such as how to get a missing model.
        on_video: called with the number of videos scored so far, after each.
    """
    notes = list(notes)
    if any(result.source is not None and not result.rebuilt for result in results) and not find_spec("cv2"):
        notes.append(MISSING_OPENCV)
    rows = []
    for number, result in enumerate(results, start=1):
        rows.append(ScoreRow(result.name, score_video(result, clip, pickscore, embed_images), result.prompt))
        if on_video:
            on_video(number)
    if not any(row.scores for row in rows):
        notes.insert(0, "Nothing could be measured.")
    return ScoreTable(rows, list(dict.fromkeys(notes)))


def find_scorer(weights: str | os.PathLike | None, default: str) -> tuple[ClipScorer | None, str]:
    """Load the CLIP model in a folder, or the default one if it is on this machine.

    Args:
        weights: the folder; None for the default.
        default: :data:`tav_core.CLIP_MODEL` or :data:`tav_core.PICKSCORE_MODEL`.

    Returns:
        the model, or None and a sentence on what it would measure and how to get it.

    Raises:
        FileNotFoundError, ValueError: the folder holds no CLIP model, or the default model is damaged.
    """
    if weights is not None:
        return ClipScorer.load(weights), ""
    try:
        return ClipScorer.load(default), ""
    except FileNotFoundError:
        return None, f"For {_MEASURES[default]}, {how_to_get(default)}"

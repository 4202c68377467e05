"""Score the edits that a session rendered, with models that are found before hours of work and loaded once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from statistics import fmean

import torch
from torch import Tensor

from .clip import CLIP_MODEL, PICKSCORE_MODEL, ClipScorer
from .motion import MISSING_OPENCV
from .scores import VideoResult, find_scorer, score_video

Scores = dict[str, float]


@dataclass(frozen=True)
class Scorers:
    """Hold the CLIP and PickScore models (on the CPU outside ``working``), and a note for each one not found."""

    clip: ClipScorer | None = None
    pickscore: ClipScorer | None = None
    notes: tuple[str, ...] = ()

    @contextmanager
    def working(self, device: torch.device) -> Iterator[None]:
        """Move the models to ``device`` within this context, and back to free its memory for tuning."""
        models = [scorer.model for scorer in (self.clip, self.pickscore) if scorer]
        try:
            for model in models:
                model.to(device)
            yield
        finally:
            for model in models:
                model.to("cpu")

    def of_edits(self, videos: dict[str, Tensor], source: Tensor, device: torch.device) -> dict[str, Scores]:
        """Compute the scores of :func:`tav_core.score_video` by prompt.

        Args:
            videos: frames ``[f, h, w, 3]`` in 0..1, by prompt.
            source: frames of the clip that was edited.
            device: where the models run.
        """
        with self.working(device):
            return {
                prompt: score_video(VideoResult(prompt, frames, prompt, source), self.clip, self.pickscore)
                for prompt, frames in videos.items()
            }


@lru_cache(maxsize=1)
def load_scorers(clip: str | os.PathLike | None, pickscore: str | os.PathLike | None) -> Scorers:
    """Load the models in these folders; None for the default ones, if they are on this machine.

    Raises:
        FileNotFoundError, ValueError: a folder holds no CLIP model.
    """
    notes = [] if find_spec("cv2") else [MISSING_OPENCV]
    models = []
    for weights, default in ((clip, CLIP_MODEL), (pickscore, PICKSCORE_MODEL)):
        scorer, missing = find_scorer(weights, default)
        if not scorer:
            notes.append(missing)
        models.append(scorer)
    return Scorers(*models, tuple(notes))


def mean_scores(scores: list[Scores]) -> Scores:
    """Return the mean of every score over the videos that have it."""
    names = dict.fromkeys(name for video in scores for name in video)
    return {name: fmean(video[name] for video in scores if name in video) for name in names}

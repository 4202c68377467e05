"""Scores of the edits that a session rendered, with models that are loaded once and found before hours of work."""

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
    """What scores are measured with, in main memory until it works, and a sentence on each that is missing."""

    clip: ClipScorer | None = None
    pickscore: ClipScorer | None = None
    notes: tuple[str, ...] = ()

    @contextmanager
    def working(self, device: torch.device) -> Iterator[None]:
        """Within this, the models are on ``device``; what is tuned there needs their room afterwards."""
        models = [scorer.model for scorer in (self.clip, self.pickscore) if scorer]
        try:
            for model in models:
                model.to(device)
            yield
        finally:
            for model in models:
                model.to("cpu")

    def of_edits(self, videos: dict[str, Tensor], source: Tensor, device: torch.device) -> dict[str, Scores]:
        """Scores by prompt, as :func:`tav_core.score_video` gives them.

        Args:
            videos: frames ``[f, h, w, 3]`` in 0..1, by prompt.
            source: the clip that was edited, likewise.
            device: what the models work on.
        """
        with self.working(device):
            return {
                prompt: score_video(VideoResult(prompt, frames, prompt, source), self.clip, self.pickscore)
                for prompt, frames in videos.items()
            }


@lru_cache(maxsize=1)
def load_scorers(clip: str | os.PathLike | None, pickscore: str | os.PathLike | None) -> Scorers:
    """The models in these folders, or where None is given the usual ones, as far as they are on this machine.

    Raises:
        FileNotFoundError, ValueError: a folder that was given holds none.
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
    """The mean of every score over the videos that have it."""
    names = dict.fromkeys(name for video in scores for name in video)
    return {name: fmean(video[name] for video in scores if name in video) for name in names}

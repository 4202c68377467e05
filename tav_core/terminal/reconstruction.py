"""Reconstruct a clip with what was tuned on it: how much of it survives inversion and sampling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..scoring.scores import VideoResult
from . import sampling
from .config import Config
from .rendering import stream
from .run_folder import CONFIG, INVERTED, TUNED
from .session import Session


def reconstruct(session: Session) -> Tensor:
    """Invert the clip with the empty prompt, and sample it again with the prompt that it was tuned with.

    Sampled without guidance, which would lead away from the clip. The latents of an earlier inversion in the session's
    folder are used when there are any.

    Returns:
        Frames ``[f, h, w, 3]`` in 0..1, of the clip's size.
    """
    path = session.folder / INVERTED
    inverted = sampling.read_inverted(path) if path.is_file() else sampling.invert(session)
    prompt = session.config.train_data.prompt
    return torch.stack(list(stream(session, inverted.latents, prompt, guidance_scale=1.0, label="reconstruction")))


def reconstruct_run(folder: Path, device: str = "auto") -> tuple[VideoResult, float]:
    """Reconstruct the clip of a run from the files in its folder; returns it beside the clip, and the frame rate.

    Raises:
        FileNotFoundError, ValueError: the folder has no configuration or tuned weights, or the checkpoint or the clip
            that they name is gone.
    """
    config = replace(Config.read(folder / CONFIG), output_dir=str(folder), device=device)
    session = Session(config, folder / TUNED)
    frames = reconstruct(session)
    result = VideoResult("reconstruction", frames, config.train_data.prompt, session.clip.frames, rebuilt=True)
    return result, session.clip.fps

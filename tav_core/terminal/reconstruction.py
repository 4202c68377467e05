"""The clip rebuilt by what was tuned on it: how much of it survives the way to noise and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from ..diffusion.ddim import ddim_sample
from ..scoring.scores import VideoResult
from .config import Config
from .run_folder import CONFIG, INVERTED, TUNED
from .runs import invert, read_start
from .session import Session


def reconstruct(session: Session) -> Tensor:
    """Invert the clip with the empty prompt, and sample it again with the prompt that it was tuned with.

    Without guidance, which would lead away from the clip. The inverted latents of an earlier inversion in the
    session's folder are used when there are any.

    Returns:
        Frames ``[f, h, w, 3]`` in 0..1, of the clip's size.
    """
    config = session.config
    path, steps = session.folder / INVERTED, config.validation_data.num_inference_steps
    start = read_start(path) if path.is_file() else invert(session)
    with session.stage("sampling"), tqdm(total=steps, desc="reconstruction", unit="step", dynamic_ncols=True) as bar:

        def on_step(step: int, latents: Tensor) -> None:
            bar.update()

        latents = ddim_sample(
            session.video_unet,
            session.pipeline.schedule,
            start.latents.to(session.device),
            session.contexts[config.train_data.prompt],
            None,
            steps,
            guidance_scale=1.0,
            on_step=on_step,
        )
    with session.stage("decoding"):
        return session.pipeline.decode_video(latents)


def reconstruct_run(folder: Path, device: str = "auto") -> tuple[VideoResult, float]:
    """Rebuild the clip of a run from what its folder holds; returns it beside the clip, and frames per second.

    Raises:
        FileNotFoundError, ValueError: the folder has no configuration or tuned weights, or the checkpoint or the clip
            that they name is gone.
    """
    config = replace(Config.read(folder / CONFIG), output_dir=str(folder), device=device)
    session = Session(config, folder / TUNED)
    frames = reconstruct(session)
    result = VideoResult("reconstruction", frames, config.train_data.prompt, session.clip.frames, rebuilt=True)
    return result, session.clip.fps

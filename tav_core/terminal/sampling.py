"""Invert the clip of a session, and sample prompts from it into the output folder, with progress bars."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion.ddim import ddim_invert
from ..diffusion.extension import extend
from ..files import file_name
from ..pictures.contact_sheet import contact_sheet, shown_frames
from ..saved.inverted import load_inverted, save_inverted
from ..text_table import counted
from ..video.writing import FASTEST, SLOWEST, stream_videos
from .config import Config
from .edits import latent_mask_of
from .interrupt import Interrupted, StopRequest
from .rendering import progress_bar, showing_windows, stepping, stream
from .run_folder import INVERTED, SHEET
from .session import Session

PUBLISHED_FPS = 8.0
"""Frame rate of sampled videos when no clip gives one."""


@dataclass
class InvertedClip:
    """A clip's inverted and clean latents ``[1, c, f, h, w]``, its frame rate and prompt, the number of inversion
    steps (None if unknown), and all latents of the inversion where they were kept."""

    latents: Tensor
    clean: Tensor
    fps: float
    prompt: str
    steps: int | None
    trajectory: list[Tensor] | None = None


def invert(session: Session) -> InvertedClip:
    """Invert the clip with the empty prompt and write the inverted latents."""
    inverted = invert_clip(session)
    metadata = {"prompt": inverted.prompt, "fps": inverted.fps, "steps": inverted.steps}
    save_inverted(session.folder / INVERTED, inverted.latents, inverted.clean, metadata, inverted.trajectory)
    return inverted


def invert_clip(session: Session, stop: StopRequest | None = None) -> InvertedClip:
    """Invert the clip with the empty prompt, without writing anything."""
    clean, context = session.latents.to(session.device), session.contexts[""]
    steps = session.config.validation_data.num_inv_steps
    video_unet = session.video_unet
    with session.stage("inverting"), progress_bar("inverting", steps) as bar, showing_windows(session, bar, stop):
        on_step, refine = stepping(bar, stop), session.config.validation_data.refine
        trajectory = ddim_invert(
            video_unet, session.pipeline.schedule, clean, context, steps, on_step, refine, in_main_memory=True
        )
    kept = trajectory if session.config.validation_data.keep_trajectory or _masked(session.config) else None
    if kept:
        tqdm.write(f"The trajectory takes {sum(x.nbytes for x in kept) / 2**20:.1f} MB.")
    return InvertedClip(trajectory[-1], clean, session.clip_info.fps, session.config.train_data.prompt, steps, kept)


def read_inverted(path: Path) -> InvertedClip:
    """Read the latents that :func:`invert` wrote; errors as for :func:`load_inverted`."""
    latents, clean, metadata, trajectory = load_inverted(path)
    if len(latents) != 1:
        raise ValueError(f"{path} holds {len(latents)} clips: give the latents of one.")
    fps, prompt = metadata.get("fps", PUBLISHED_FPS), metadata.get("prompt", "")
    return InvertedClip(latents, clean, fps, prompt, metadata.get("steps"), trajectory)


def sample(
    session: Session,
    inverted: InvertedClip | None,
    folder: Path | None = None,
    stop: StopRequest | None = None,
    whole: bool = True,
    prompts: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Sample prompts and write an mp4 and a GIF of each, and a contact sheet.

    Args:
        inverted: latents to start from; None for noise of the seed.
        folder: output folder; None for the session's.
        stop: once pressed, sampling ends and nothing more is written.
        whole: False keeps only the frames of the contact sheet in memory, however long the videos are.
        prompts: prompts to sample; empty for all of the configuration.

    Returns:
        frames ``[f, h, w, 3]`` by prompt; those of the contact sheet unless ``whole``.
    """
    config, data, folder = session.config, session.config.validation_data, folder or session.folder
    check_prompts(session)
    if inverted and inverted.steps not in (None, data.num_inference_steps):
        warnings.warn(
            f"The clip was inverted in {counted(inverted.steps, 'step')} and is sampled in {data.num_inference_steps}: "
            "use the same number to keep its motion best.",
            stacklevel=2,
        )
    fps = inverted.fps if inverted else session.tuned_metadata.get("fps") or _clip_fps(session)
    fps = min(max(fps, SLOWEST), FASTEST)  # a time lapse can be slower than the slowest rate that is written
    generator = torch.Generator().manual_seed(config.seed)
    edit = _edit(session, inverted)
    videos = {}
    for prompt in prompts or data.prompts:
        noise = inverted.latents if inverted else torch.randn(_noise_shape(session), generator=generator)
        if data.extend:
            noise = extend(noise, data.extend, data.extension, config.seed)
        name, kept = file_name(prompt), []
        chosen = range(noise.shape[2]) if whole else shown_frames(noise.shape[2])
        try:
            frames = _keeping(stream(session, noise, prompt, data.guidance_scale, name, stop, **edit), chosen, kept)
            stream_videos([folder / f"{name}{ending}" for ending in (".mp4", ".gif")], frames, fps)
        except Interrupted:
            return videos
        videos[prompt] = torch.stack(kept)
    _write_sheet(session, inverted, videos, folder)
    return videos


def check_prompts(session: Session) -> None:
    """Raise ValueError when there is no prompt to sample."""
    if not session.config.validation_data.prompts:
        raise ValueError(
            "No prompt to render was given: list some in validation_data.prompts of the YAML, or add --prompt TEXT."
        )


def _edit(session: Session, inverted: InvertedClip | None) -> dict[str, Any]:
    """Return the mask and the trajectory to sample with, where the configuration asks for a mask."""
    if not _masked(session.config):
        return {}
    if inverted is None or session.config.validation_data.extend:
        raise ValueError("A mask protects the clip's own frames: leave out --from-noise and --extend, or the mask.")
    if inverted.trajectory is None:
        raise ValueError("A mask needs every step of the inversion: run 'tav invert' again with --keep-trajectory.")
    session.config.train_data.prompt = session.config.train_data.prompt or inverted.prompt  # for the mask's words
    return {"mask": latent_mask_of(session, inverted.clean), "trajectory": inverted.trajectory}


def _masked(config: Config) -> bool:
    return bool(config.validation_data.mask or config.validation_data.keep or config.validation_data.change)


def _keeping(frames: Iterable[Tensor], chosen: Container[int], kept: list[Tensor]) -> Iterator[Tensor]:
    """Yield the frames, and append those with a chosen number to ``kept``."""
    for number, frame in enumerate(frames):
        if number in chosen:
            kept.append(frame)
        yield frame


def _write_sheet(session: Session, inverted: InvertedClip | None, videos: dict[str, Tensor], folder: Path) -> None:
    rows, labels = list(videos.values()), list(videos)
    if inverted:
        with session.stage("decoding"):
            shown = shown_frames(inverted.clean.shape[2])
            try:
                row = [frame for number, frame in enumerate(session.clip_frames()) if number in shown]
            except (FileNotFoundError, ValueError):  # the clip is gone since it was inverted
                row = list(session.pipeline.decode_frames(inverted.clean[:, :, shown]))
            rows.insert(0, torch.stack(row))
        labels.insert(0, inverted.prompt or "source")
    contact_sheet(folder / SHEET, rows, labels)


def _clip_fps(session: Session) -> float:
    return session.clip_info.fps if session.config.train_data.video_path else PUBLISHED_FPS


def _noise_shape(session: Session) -> tuple[int, ...]:
    clip, video, tuned = session.config.train_data, session.config.validation_data, session.tuned_metadata
    frames = video.video_length or tuned.get("frames") or clip.n_sample_frames or session.clip_info.frames
    height = video.height or tuned.get("height") or clip.height
    width = video.width or tuned.get("width") or clip.width
    scale = session.pipeline.vae_scale_factor
    return 1, session.pipeline.unet.config.in_channels, frames, height // scale, width // scale

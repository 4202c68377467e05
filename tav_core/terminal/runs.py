"""Tune, invert and sample into an output folder, with progress bars: the work of the command line."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion.ddim import ddim_invert
from ..diffusion.extension import extend
from ..diffusion.settings import TuneSettings
from ..diffusion.tune_state import TuneState
from ..diffusion.tuning import tune as tune_unet
from ..files import file_name, write_text
from ..network.casting import PRECISIONS
from ..network.structure import fingerprint
from ..pictures.contact_sheet import contact_sheet, shown_frames
from ..saved.inverted import load_inverted, save_inverted
from ..saved.tune_state import load_tune_state, save_tune_state
from ..saved.tuned import preview_frame, save_tuned, tuned_metadata
from ..video.writing import FASTEST, SLOWEST, stream_videos
from .config import Config
from .edits import latent_mask_of
from .interrupt import Interrupted, StopRequest
from .rendering import progress_bar, showing_windows, stepping, stream
from .run_folder import CONFIG, INVERTED, LOSSES, SAMPLES, SHEET, STATE, TUNED, check_same_tuning
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


def run(session: Session, whole: bool = True) -> dict[str, Tensor]:
    """Tune on the clip, invert it, and sample every prompt; as for :func:`sample`."""
    check_prompts(session)
    tune(session)
    inverted = invert(session) if session.config.validation_data.use_inv_latent else None
    return sample(session, inverted, whole=whole)


def tune(session: Session) -> None:
    """Tune on the clip; write the configuration, the tuned file, the state to resume from, and the losses.

    After every ``validation_steps`` steps, except the last, the state is saved and the prompts are sampled into
    ``samples/step-N``; a resumed tuning begins with the samples of its step if these were interrupted.

    Raises:
        Interrupted: after Ctrl-C, when the state has been saved.
    """
    config, folder = session.config, session.folder
    check_before_tuning(session)
    state = _saved_state(session)
    session.load()  # before the bar appears, which times the steps
    prompts, total = config.validation_data.prompts, config.max_train_steps
    every = [config.checkpointing_steps] + ([config.validation_steps] if prompts else [])
    done = len(state.losses) if state else 0
    config_saved = False
    with StopRequest() as stop, progress_bar("tuning", total, done) as bar:
        if state and _sampling_due(session, done) and not (_samples_folder(session, done) / SHEET).exists():
            _tune(session, replace(session.settings, steps=done), state)  # no step: restores the weights
            _sample_while_tuning(session, _samples_folder(session, done), stop)
        while not stop.pressed:
            pause = min(total, *(done - done % steps + steps for steps in every))
            state = _tune_until(session, pause, state, bar, stop)
            done = len(state.losses)
            _save_state(session, state)
            if not config_saved:  # only now: a state that cannot be resumed leaves an earlier tuning untouched
                replace(config, resume_from_checkpoint=None).save(folder / CONFIG)
                config_saved = True
            if _sampling_due(session, done) and not stop.pressed:
                _sample_while_tuning(session, _samples_folder(session, done), stop)
            if done >= total:
                break
        if stop.pressed:
            raise Interrupted(f"Stopped after step {done} of {total}; the same command with --resume continues.")
    tuned = session.video_unet.tuned_state_dict()
    save_tuned(folder / TUNED, tuned, _metadata(session, done), PRECISIONS[config.tuned_precision])


def invert(session: Session) -> InvertedClip:
    """Invert the clip with the empty prompt and write the inverted latents."""
    inverted = _invert(session)
    metadata = {"prompt": inverted.prompt, "fps": inverted.fps, "steps": inverted.steps}
    save_inverted(session.folder / INVERTED, inverted.latents, inverted.clean, metadata, inverted.trajectory)
    return inverted


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
) -> dict[str, Tensor]:
    """Sample every prompt and write an mp4 and a GIF of each, and a contact sheet.

    Args:
        inverted: latents to start from; None for noise of the seed.
        folder: output folder; None for the session's.
        stop: once pressed, sampling ends and nothing more is written.
        whole: False keeps only the frames of the contact sheet in memory, however long the videos are.

    Returns:
        frames ``[f, h, w, 3]`` by prompt; those of the contact sheet unless ``whole``.
    """
    config, data, folder = session.config, session.config.validation_data, folder or session.folder
    check_prompts(session)
    if inverted and inverted.steps not in (None, data.num_inference_steps):
        warnings.warn(
            f"The clip was inverted in {inverted.steps} steps and is sampled in {data.num_inference_steps}: use the "
            "same number to keep its motion best.",
            stacklevel=2,
        )
    fps = inverted.fps if inverted else session.tuned_metadata.get("fps") or _clip_fps(session)
    fps = min(max(fps, SLOWEST), FASTEST)  # a time lapse can be slower than the slowest rate that is written
    generator = torch.Generator().manual_seed(config.seed)
    edit = _edit(session, inverted)
    videos = {}
    for prompt in data.prompts:
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


def _invert(session: Session, stop: StopRequest | None = None) -> InvertedClip:
    clean, context, steps = session.latents, session.contexts[""], session.config.validation_data.num_inv_steps
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


def _tune_until(session: Session, pause: int, state: TuneState | None, bar: tqdm, stop: StopRequest) -> TuneState:
    settings = session.settings

    def on_step(step: int, loss: float) -> bool:
        bar.set_postfix(loss=f"{loss:.4f}", lr=f"{settings.learning_rate_at(step - 1):.1e}", refresh=False)
        bar.update()
        return step < pause and not stop.pressed

    return _tune(session, settings, state, on_step)


def _tune(
    session: Session,
    settings: TuneSettings,
    state: TuneState | None,
    on_step: Callable[[int, float], bool] | None = None,
) -> TuneState:
    video_unet, schedule, latents = session.video_unet, session.pipeline.schedule, session.latents
    context = session.contexts[session.config.train_data.prompt]
    with session.stage("tuning"):
        return tune_unet(video_unet, schedule, latents, context, settings, on_step=on_step, state=state).state


def _sampling_due(session: Session, done: int) -> bool:
    config = session.config
    return (
        bool(config.validation_data.prompts)
        and 0 < done < config.max_train_steps
        and done % config.validation_steps == 0
    )


def _samples_folder(session: Session, done: int) -> Path:
    return session.folder / SAMPLES / f"step-{done}"


def _sample_while_tuning(session: Session, folder: Path, stop: StopRequest) -> None:
    with suppress(Interrupted):
        inverted = _invert(session, stop) if session.config.validation_data.use_inv_latent else None
        if not stop.pressed:
            sample(session, inverted, folder, stop, whole=False)


def check_prompts(session: Session) -> None:
    """Raise ValueError when there is no prompt to sample."""
    if not session.config.validation_data.prompts:
        raise ValueError(
            "No prompt to render was given: list some in validation_data.prompts of the YAML, or add --prompt TEXT."
        )


def check_before_tuning(session: Session) -> None:
    """Raise ValueError for mistakes that would otherwise show only after hours of tuning."""
    data, validation = session.config.train_data, session.config.validation_data
    if not data.prompt:
        raise ValueError(
            "The clip has no prompt: describe it in train_data.prompt of the YAML, or add --source-prompt TEXT."
        )
    clip = session.clip_info
    if not validation.prompts or not validation.use_inv_latent:
        return
    for name, requested, actual in zip(
        ("video_length", "height", "width"),
        (validation.video_length, validation.height, validation.width),
        (clip.frames, clip.height, clip.width),
    ):
        if requested not in (None, 0, actual):
            raise ValueError(
                f"validation_data.{name} is {requested}, but the clip has {actual}, and a video that starts from the "
                "inverted clip has its size: make them equal, leave it out, or set use_inv_latent to false."
            )


def _saved_state(session: Session) -> TuneState | None:
    path = session.config.resume_from_checkpoint
    if path is None:
        return None
    if path == "latest":
        path = session.folder / STATE
        if not path.exists():
            tqdm.write(f"Nothing to resume in {session.folder}: tuning starts at the first step.")
            return None
        check_same_tuning(session.config)
    return load_tune_state(path, fingerprint(session.pipeline.unet))


def _save_state(session: Session, state: TuneState) -> None:
    save_tune_state(session.folder / STATE, state, fingerprint(session.pipeline.unet))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    validation = dict(state.validation)
    columns = ["step", "loss", "learning_rate"]
    writer.writerow([*columns, "validation"] if validation else columns)
    if 0 in validation:
        writer.writerow([0, "", "", f"{validation[0]:.6g}"])
    for step, loss in enumerate(state.losses, start=1):
        row = [step, f"{loss:.6g}", f"{session.settings.learning_rate_at(step - 1):.6g}"]
        writer.writerow(row + ([f"{validation[step]:.6g}" if step in validation else ""] if validation else []))
    try:
        write_text(session.folder / LOSSES, table.getvalue())
    except PermissionError as error:  # open in a spreadsheet: not worth stopping the tuning
        warnings.warn(f"{session.folder / LOSSES} could not be written ({error.strerror}).", stacklevel=2)


def _metadata(session: Session, steps: int) -> dict:
    clip, video_unet, frames = session.clip_info, session.video_unet, session.latents.shape[2]
    metadata = tuned_metadata(
        video_unet,
        fingerprint(video_unet.unet),
        frames=frames,
        width=clip.width,
        height=clip.height,
        steps=steps,
        learning_rate=session.settings.learning_rate,
        prompt=session.config.train_data.prompt,
        fps=clip.fps,
    )
    middle = next(islice(session.clip_frames(), frames // 2, None))
    return metadata | {"preview": preview_frame(middle)}


def _clip_fps(session: Session) -> float:
    return session.clip_info.fps if session.config.train_data.video_path else PUBLISHED_FPS


def _noise_shape(session: Session) -> tuple[int, ...]:
    clip, video, tuned = session.config.train_data, session.config.validation_data, session.tuned_metadata
    frames = video.video_length or tuned.get("frames") or clip.n_sample_frames or session.clip_info.frames
    height = video.height or tuned.get("height") or clip.height
    width = video.width or tuned.get("width") or clip.width
    scale = session.pipeline.pixels_per_latent
    return 1, session.pipeline.unet.config.in_channels, frames, height // scale, width // scale

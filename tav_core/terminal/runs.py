"""The work of the command line: tune, invert and sample, with progress bars, into an output folder."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion.ddim import ddim_invert, ddim_sample
from ..diffusion.tune_state import TuneState
from ..diffusion.tuning import tune as tune_unet
from ..files import file_name, write_text
from ..network.structure import fingerprint
from ..pictures.contact_sheet import contact_sheet
from ..saved.inverted import load_inverted, save_inverted
from ..saved.tune_state import load_tune_state, save_tune_state
from ..saved.tuned import preview_frame, save_tuned, tuned_metadata
from ..video.reading import save_video
from ..video.writing import FASTEST, SLOWEST
from .interrupt import Interrupted, StopRequest
from .run_folder import CONFIG, INVERTED, LOSSES, SAMPLES, SHEET, STATE, TUNED, check_same_tuning
from .session import Session

PUBLISHED_FPS = 8.0
"""Frames per second of what is sampled where no clip gives them."""


@dataclass
class Start:
    """Where sampling starts: inverted latents ``[1, c, f, h, w]`` and the clean ones, the clip's rate and prompt, and
    how many steps lie between the two, where that is known."""

    latents: Tensor
    clean: Tensor
    fps: float
    prompt: str
    steps: int | None


def run(session: Session) -> dict[str, Tensor]:
    """Tune on the clip, invert it, and sample every prompt; returns what :func:`sample` does."""
    check_prompts(session)
    tune(session)
    start = invert(session) if session.config.validation_data.use_inv_latent else None
    return sample(session, start)


def tune(session: Session) -> None:
    """Tune on the clip; writes the configuration, the tuned file, the state to resume from, and the losses.

    Every ``validation_steps`` steps but the last, the prompts are sampled into ``samples/step-N``; the state is saved
    before that, too.

    Raises:
        Interrupted: after Ctrl-C, once the state is saved.
    """
    config, folder = session.config, session.folder
    check_before_tuning(session)
    state = _saved_state(session)
    # loaded before the bar appears, so that its times are those of the steps
    _ = session.latents, session.contexts, session.video_unet
    prompts, total = config.validation_data.prompts, config.max_train_steps
    every = [config.checkpointing_steps] + ([config.validation_steps] if prompts else [])
    done = len(state.losses) if state else 0
    noted = False
    with StopRequest() as stop, _bar("tuning", total, done) as bar:
        while True:
            pause = min(total, *(done - done % steps + steps for steps in every))
            state = _tune_until(session, pause, state, bar, stop)
            done = len(state.losses)
            _save_state(session, state)
            if not noted:  # with the first state that is of it: one that is refused leaves an earlier tuning as it was
                replace(config, resume_from_checkpoint=None).save(folder / CONFIG)
                noted = True
            if prompts and done < total and done % config.validation_steps == 0 and not stop.pressed:
                _sample_while_tuning(session, folder / SAMPLES / f"step-{done}", stop)
            if stop.pressed:
                raise Interrupted(f"Stopped after step {done} of {total}; the same command with --resume goes on.")
            if done >= total:
                break
    save_tuned(folder / TUNED, session.video_unet.tuned_state_dict(), _metadata(session, done))


def invert(session: Session) -> Start:
    """Invert the clip with the empty prompt; writes the inverted latents."""
    start = _invert(session)
    metadata = {"prompt": start.prompt, "fps": start.fps, "steps": start.steps}
    save_inverted(session.folder / INVERTED, start.latents, start.clean, metadata)
    return start


def read_start(path: Path) -> Start:
    """The start that an earlier inversion wrote; errors as for :func:`load_inverted`."""
    latents, clean, metadata = load_inverted(path)
    if len(latents) != 1:
        raise ValueError(f"{path} holds {len(latents)} clips: sample one.")
    fps, prompt = metadata.get("fps", PUBLISHED_FPS), metadata.get("prompt", "")
    return Start(latents, clean, fps, prompt, metadata.get("steps"))


def sample(
    session: Session, start: Start | None, folder: Path | None = None, stop: StopRequest | None = None
) -> dict[str, Tensor]:
    """Sample every prompt from ``start``, or from noise of the seed; writes an mp4 and a GIF each, and a contact sheet.

    Returns the frames ``[f, h, w, 3]`` by prompt. Nothing more is written once ``stop`` was pressed.
    """
    config, data, folder = session.config, session.config.validation_data, folder or session.folder
    check_prompts(session)
    if start and start.steps not in (None, data.num_inference_steps):
        warnings.warn(
            f"The clip was inverted in {start.steps} steps and is sampled in {data.num_inference_steps}: equally many "
            "keep its motion best.",
            stacklevel=2,
        )
    pipeline, video_unet, negative = session.pipeline, session.video_unet, session.contexts[data.negative_prompt]
    fps = start.fps if start else session.tuned_metadata.get("fps") or _clip_fps(session)
    fps = min(max(fps, SLOWEST), FASTEST)  # a time lapse can be slower than a file is written
    generator = torch.Generator().manual_seed(config.seed)
    rows = []
    for prompt in data.prompts:
        name = file_name(prompt)
        noise = start.latents if start else torch.randn(_noise_shape(session), generator=generator)
        with session.stage("sampling"), _bar(name, data.num_inference_steps) as bar:
            latents = ddim_sample(
                video_unet,
                pipeline.schedule,
                noise.to(session.device),
                session.contexts[prompt],
                negative,
                data.num_inference_steps,
                data.guidance_scale,
                on_step=_stepping(bar, stop),
            )
        if stop and stop.pressed:
            break
        with session.stage("decoding"):
            rows.append(pipeline.decode_video(latents))
            for ending in (".mp4", ".gif"):
                save_video(folder / f"{name}{ending}", rows[-1], fps)
    videos = dict(zip(data.prompts, rows))
    if stop and stop.pressed:
        return videos
    labels = list(data.prompts)
    if start:
        with session.stage("decoding"):
            there = Path(config.train_data.video_path).is_file()
            rows.insert(0, session.clip.frames if there else pipeline.decode_video(start.clean))
        labels.insert(0, start.prompt or "source")
    contact_sheet(folder / SHEET, rows, labels)
    return videos


def _invert(session: Session, stop: StopRequest | None = None) -> Start:
    clean, context, steps = session.latents, session.contexts[""], session.config.validation_data.num_inv_steps
    video_unet = session.video_unet
    with session.stage("inverting"), _bar("inverting", steps) as bar:
        trajectory = ddim_invert(
            video_unet, session.pipeline.schedule, clean, context, steps, on_step=_stepping(bar, stop)
        )
    return Start(trajectory[-1], clean, session.clip.fps, session.config.train_data.prompt, steps)


def _tune_until(session: Session, pause: int, state: TuneState | None, bar: tqdm, stop: StopRequest) -> TuneState:
    settings = session.settings

    def on_step(step: int, loss: float) -> bool:
        bar.set_postfix(loss=f"{loss:.4f}", lr=f"{settings.learning_rate_at(step - 1):.1e}", refresh=False)
        bar.update()
        return step < pause and not stop.pressed

    context = session.contexts[session.config.train_data.prompt]
    with session.stage("tuning"):
        schedule = session.pipeline.schedule
        return tune_unet(
            session.video_unet, schedule, session.latents, context, settings, on_step=on_step, state=state
        ).state


def _sample_while_tuning(session: Session, folder: Path, stop: StopRequest) -> None:
    start = _invert(session, stop) if session.config.validation_data.use_inv_latent else None
    if not stop.pressed:
        sample(session, start, folder, stop)


def check_prompts(session: Session) -> None:
    """Raise ValueError when there is nothing to sample."""
    if not session.config.validation_data.prompts:
        raise ValueError(
            "No prompt to render was given: list some in validation_data.prompts of the YAML, or add --prompt TEXT."
        )


def check_before_tuning(session: Session) -> None:
    """Errors that would otherwise show after hours of tuning."""
    data, validation = session.config.train_data, session.config.validation_data
    if not data.prompt:
        raise ValueError(
            "The clip has no prompt: say what it shows in train_data.prompt of the YAML, or add --source-prompt TEXT."
        )
    frames = session.clip.frames
    if not validation.prompts or not validation.use_inv_latent:
        return
    for name, asked, there in zip(
        ("video_length", "height", "width"),
        (validation.video_length, validation.height, validation.width),
        frames.shape,
    ):
        if asked not in (None, there):
            raise ValueError(
                f"validation_data.{name} is {asked}, but the clip has {there}, and a video that starts from the "
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
    writer.writerow(["step", "loss", "learning_rate"])
    for step, loss in enumerate(state.losses, start=1):
        writer.writerow([step, f"{loss:.6g}", f"{session.settings.learning_rate_at(step - 1):.6g}"])
    try:
        write_text(session.folder / LOSSES, table.getvalue())
    except PermissionError as error:  # open in a spreadsheet, it is no reason to stop tuning
        warnings.warn(f"{session.folder / LOSSES} could not be written ({error.strerror}).", stacklevel=2)


def _metadata(session: Session, steps: int) -> dict:
    clip, video_unet = session.clip, session.video_unet
    frames, height, width, _ = clip.frames.shape
    metadata = tuned_metadata(
        video_unet,
        fingerprint(video_unet.unet),
        frames=frames,
        width=width,
        height=height,
        steps=steps,
        learning_rate=session.settings.learning_rate,
        prompt=session.config.train_data.prompt,
        fps=clip.fps,
    )
    return metadata | {"preview": preview_frame(clip.frames[frames // 2])}


def _clip_fps(session: Session) -> float:
    return session.clip.fps if session.config.train_data.video_path else PUBLISHED_FPS


def _noise_shape(session: Session) -> tuple[int, ...]:
    data, asked, tuned = session.config.train_data, session.config.validation_data, session.tuned_metadata
    frames = asked.video_length or tuned.get("frames") or data.n_sample_frames
    height = asked.height or tuned.get("height") or data.height
    width = asked.width or tuned.get("width") or data.width
    scale = session.pipeline.pixels_per_latent
    return 1, session.pipeline.unet.config.in_channels, frames, height // scale, width // scale


def _bar(name: str, steps: int, done: int = 0) -> tqdm:
    return tqdm(total=steps, initial=done, desc=name[:40], unit="step", dynamic_ncols=True)


def _stepping(bar: tqdm, stop: StopRequest | None) -> Callable[[int, Tensor], bool]:
    def on_step(step: int, latents: Tensor) -> bool:
        bar.update()
        return not (stop and stop.pressed)

    return on_step

"""Tune on the clip of a session into the output folder, with a progress bar, samples meanwhile, and resuming."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from ..diffusion.settings import TuneSettings
from ..diffusion.tune_state import TuneState
from ..diffusion.tuning import tune as tune_unet
from ..files import write_text
from ..network.casting import PRECISIONS
from ..network.structure import fingerprint
from ..saved.tune_state import load_tune_state, save_tune_state
from ..saved.tuned import preview_frame, save_tuned, tuned_metadata
from .interrupt import Interrupted, StopRequest
from .rendering import progress_bar
from .run_folder import CONFIG, LOSSES, SAMPLES, SHEET, STATE, TUNED, check_same_tuning
from .sampling import check_prompts, invert, invert_clip, sample
from .session import Session


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
        inverted = invert_clip(session, stop) if session.config.validation_data.use_inv_latent else None
        if not stop.pressed:
            sample(session, inverted, folder, stop, whole=False)


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

"""The whole method, seen working without a checkpoint to download: ``python -m tav_core demo``.

A drawn clip is rendered with other captions in three ways from the same start: frame by frame, as the checkpoint does
alone; with sparse-causal attention but not tuned; and tuned on the clip. The judge reads each video.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from einops import repeat
from torch import Tensor
from tqdm import tqdm

from ..diffusion.variation import vary
from ..files import file_name, replacing, write_text
from ..pictures.contact_sheet import contact_sheet
from ..pictures.image import to_pil
from ..pictures.loss_plot import loss_plot
from ..pictures.side_by_side import side_by_side
from ..saved.tune_state import load_tune_state
from ..terminal import runs, sampling
from ..terminal.config import Config, TrainData, ValidationData
from ..terminal.run_folder import SHEET, STATE
from ..terminal.session import Session
from ..text_table import text_table
from ..video.reading import VideoClip, save_video
from . import LEARNING_RATE, MODEL, STEPS
from .clips import draw_clip
from .judge import compare
from .world import SIZE, Words, parse_caption

FRAMES, FPS, SEED = 12, 8.0, 4
CLIP = Words("panda", "jumping", "park")
EDITS = (
    Words("man", "jumping", "park"),
    Words("panda", "jumping", "snow"),
    Words("panda", "jumping", "park", "red"),
    Words("panda", "jumping", "park", style="sketch"),
)
"""The four uses of the paper: another subject, another background, another attribute, another style."""
VARIATION = 0.3
"""New noise in the inverted clip, so that edits have room and frames something to disagree about."""
FIGURES, PLOT, SOURCE = "figures.json", "loss.png", "source.mp4"
UNTUNED, NOISE, BESIDE = "untuned", "from-noise", "side-by-side"


class Way(NamedTuple):
    """One way to render the edits."""

    label: str
    folder: str
    """Within the output folder."""
    attention: str
    joint_norm: bool
    tuned: bool


WAYS = (
    Way("frame by frame", UNTUNED, "spatial", False, False),
    Way("not tuned", "not-tuned", "sparse_causal", True, False),
    Way("tuned", ".", "sparse_causal", True, True),
)


def demo_config() -> Config:
    """Return the demo's own settings: the demo model is far smaller than SD 1.5, and learns faster."""
    return Config(
        pretrained_model_path=str(MODEL),
        output_dir="outputs/demo",
        train_data=TrainData(prompt=CLIP.caption, n_sample_frames=FRAMES, width=SIZE, height=SIZE),
        validation_data=ValidationData(
            prompts=tuple(words.caption for words in EDITS),
            num_inference_steps=12,
            num_inv_steps=12,
            guidance_scale=4.0,
        ),
        max_train_steps=STEPS,
        learning_rate=LEARNING_RATE,
        gradient_checkpointing=False,
        validation_steps=1_000_000,
        checkpointing_steps=1_000_000,
    )


def demo_clip(config: Config) -> VideoClip | None:
    """Draw the clip that the configuration's prompt describes; None if it names a file instead.

    Raises:
        ValueError: the prompt is not a caption of the drawn world.
    """
    data = config.train_data
    if data.video_path:
        return None
    clip = draw_clip(parse_caption(data.prompt), data.n_sample_frames, SEED)
    return VideoClip(clip, FPS, FPS, len(clip))


def demo(session: Session) -> None:
    """Render every prompt in three ways from the inverted clip, and the first one from noise; print the judge's table.

    Writes what the command ``run`` writes, the source clip, the loss plot, the figures, each way's videos, and the ways
    side by side.
    """
    folder = session.folder
    runs.check_before_tuning(session)
    source = session.clip.frames
    save_video(folder / SOURCE, source, session.clip.fps)
    # the saved configuration names the file, for other commands
    data = replace(session.config.train_data, video_path=str(folder / SOURCE))
    config = replace(session.config, train_data=data)
    videos, noise = {}, {}
    for number, way in enumerate(WAYS, start=1):
        tqdm.write(f"{number} of {len(WAYS)}: {way.label}")
        videos[way.label], noise[way.label] = _rendered(session, config, way)
    state = load_tune_state(folder / STATE)
    losses = loss_plot(state.losses, state.validation)
    with replacing(folder / PLOT) as partial:
        to_pil(losses).save(partial)
    _write_pictures(folder, source, session.config.train_data.prompt, videos, noise, session.clip.fps)
    figures = {label: _judged(of_way, source, session.config.train_data.prompt) for label, of_way in videos.items()}
    write_text(folder / FIGURES, json.dumps(figures, indent=2, ensure_ascii=False))
    print(_table(figures))


def _rendered(session: Session, config: Config, way: Way) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return frames by prompt, from the inverted clip with new noise, and of the first prompt from noise alone."""
    output = str(session.folder / way.folder)
    config = replace(config, attention=way.attention, joint_norm=way.joint_norm, output_dir=output)
    of_way = session.with_network(config)
    try:
        if way.tuned:
            runs.tune(of_way)
        inverted = sampling.invert(of_way)
        varied = replace(inverted, latents=vary(inverted.latents, VARIATION, config.seed))
        first = config.validation_data.prompts[:1]
        return sampling.sample(of_way, varied), sampling.sample(of_way, None, of_way.folder / NOISE, prompts=first)
    finally:
        of_way.deflate()


def _write_pictures(
    folder: Path, source: Tensor, said: str, videos: dict[str, dict], noise: dict[str, dict], fps: float
) -> None:
    """Write one contact sheet with every way of every prompt, and a GIF of each prompt's ways side by side."""
    rows, labels = [source], [f"The clip: {said}"]
    for start, rendered in (("", videos), ("from noise · ", noise)):
        for prompt in next(iter(rendered.values())):
            ways = {label: of_way[prompt] for label, of_way in rendered.items()}
            rows += ways.values()
            labels += [f"{prompt} · {start}{label}" for label in ways]
            larger = [repeat(clip, "f h w c -> f (h a) (w b) c", a=2, b=2) for clip in (source, *ways.values())]
            beside = side_by_side(larger, ["clip", *ways])
            save_video(folder / BESIDE / f"{file_name(start + prompt)}.gif", beside, fps)
    contact_sheet(folder / SHEET, rows, labels, frames_shown=len(source))


Figures = dict[str, float | None]
"""By name; None where there is nothing to measure."""


def _judged(videos: dict[str, Tensor], source: Tensor, said: str) -> dict[str, Figures | None]:
    """Return the judge's figures of every prompt that is a caption of the drawn world; None for others."""
    figures: dict[str, Figures | None] = {}
    for prompt, video in videos.items():
        try:
            words, source_words = parse_caption(prompt), parse_caption(said)
        except ValueError:
            figures[prompt] = None
            continue
        seen = compare(video, source, words, source_words)
        measured = {
            "frames right, %": 100 * seen.frames_right,
            "pose off, % of height": 100 * seen.pose_distance,
            "drift": seen.drift,
            "flips per pair": seen.flips,
            "away from the clip": seen.away,
        }
        figures[prompt] = {name: value if math.isfinite(value) else None for name, value in measured.items()}
    return figures


def _table(figures: dict[str, dict]) -> str:
    lines = []
    for way, videos in figures.items():
        columns = next((list(f) for f in videos.values() if f), [])
        table, remarks = [[way, *columns]], [""]
        for prompt, judged in videos.items():
            values = judged or dict.fromkeys(columns)
            table.append([prompt, *("" if value is None else f"{value:.3f}" for value in values.values())])
            remarks.append("" if judged else "no caption of the drawn world")
        lines += ["", *text_table(table, remarks)]
    return "\n".join(lines)

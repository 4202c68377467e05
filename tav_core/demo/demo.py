"""The whole method, seen working without a checkpoint to download: ``python -m tav_core demo``.

A drawn clip is learned with the demo model and rendered with other words, once before and once after tuning, and the
judge says how well each video follows its words and the clip's motion.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..files import replacing, write_text
from ..pictures.image import to_pil
from ..pictures.loss_plot import loss_plot
from ..saved.tune_state import load_tune_state
from ..terminal import runs
from ..terminal.config import Config, TrainData, ValidationData
from ..terminal.run_folder import STATE
from ..terminal.session import Session
from ..text_table import text_table
from ..video.reading import VideoClip, save_video
from . import MODEL
from .clips import example_clip
from .judge import compare
from .world import SIZE, Words, parse_caption

FRAMES, FPS = 8, 8.0
CLIP = Words("red", "circle", "blue")
EDITS = (
    Words("red", "star", "blue"),
    Words("red", "circle", "green"),
    Words("yellow", "circle", "blue"),
    Words("red", "circle", "blue", "outlined"),
)
"""The four uses of the paper: another subject, another background, another attribute, another style."""
FIGURES, PLOT, SOURCE, UNTUNED = "figures.json", "loss.png", "source.mp4", "untuned"


def demo_config() -> Config:
    """The demo's own settings: the demo model is hundreds of times smaller than SD 1.5, and learns faster."""
    return Config(
        pretrained_model_path=str(MODEL),
        output_dir="outputs/demo",
        train_data=TrainData(prompt=CLIP.caption, n_sample_frames=FRAMES, width=SIZE, height=SIZE),
        validation_data=ValidationData(
            prompts=tuple(words.caption for words in EDITS),
            num_inference_steps=8,
            num_inv_steps=8,
            guidance_scale=3.0,
        ),
        max_train_steps=100,
        learning_rate=5e-4,
        gradient_checkpointing=False,
        validation_steps=1_000_000,
        checkpointing_steps=1_000_000,
    )


def demo(session: Session) -> None:
    """Invert and sample without tuning, then tune, invert and sample; print the judge's table.

    Writes what the command ``run`` writes, the source clip, the loss plot, the figures, and the untuned videos in a
    folder of their own.
    """
    folder, prompts = session.folder, session.config.validation_data.prompts
    if not session.config.train_data.video_path:
        data = session.config.train_data
        clip = example_clip(parse_caption(data.prompt), "arc", data.n_sample_frames, seed=3)
        session.clip = VideoClip(clip, FPS, FPS, len(clip))
    runs.check_before_tuning(session)
    source = session.clip.frames
    save_video(folder / SOURCE, source, session.clip.fps)
    # for what other commands may do with the folder
    data = replace(session.config.train_data, video_path=str(folder / SOURCE))
    session.config = replace(session.config, train_data=data)
    before = runs.sample(session, runs.invert(session), folder / UNTUNED)
    runs.tune(session)
    after = runs.sample(session, runs.invert(session))
    state = load_tune_state(folder / STATE)
    losses = loss_plot(state.losses, state.validation)
    with replacing(folder / PLOT) as partial:
        to_pil(losses).save(partial)
    figures = {"tuned": _judged(after, source, prompts), "untuned": _judged(before, source, prompts)}
    write_text(folder / FIGURES, json.dumps(figures, indent=2, ensure_ascii=False))
    print(_table(figures))


Figures = dict[str, float | None]
"""By name; None where there is nothing to measure, as no object is seen."""


def _judged(videos: dict[str, Tensor], source: Tensor, prompts: Sequence[str]) -> dict[str, Figures | None]:
    """The judge's figures of every prompt that is a caption of the drawn world; None for others."""
    figures: dict[str, Figures | None] = {}
    for prompt in prompts:
        try:
            words = parse_caption(prompt)
        except ValueError:
            figures[prompt] = None
            continue
        seen = compare(videos[prompt], source, words)
        measured = {
            "frames right, %": 100 * seen.frames_right,
            "off track, % of width": 100 * seen.track_distance,
            "motion, 1 = as far": seen.slope,
            "drift": seen.drift,
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
            table.append([prompt, *("" if value is None else f"{value:.2f}" for value in values.values())])
            remarks.append("" if judged else "no caption of the drawn world")
        lines += ["", *text_table(table, remarks)]
    return "\n".join(lines)

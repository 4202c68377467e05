"""Run the paper's ablation on one clip: every variant with the same settings, to show what each part contributes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from torch import Tensor
from tqdm import tqdm

from ..files import write_text
from ..pictures.contact_sheet import contact_sheet
from ..scoring.scorers import Scorers, Scores, mean_scores
from ..scoring.scores import VideoResult, score_video
from ..scoring.table import ScoreRow, ScoreTable
from ..terminal import runs, sampling
from ..terminal.config import Config
from ..terminal.interrupt import Interrupted
from ..terminal.reconstruction import reconstruct
from ..terminal.run_folder import CONFIG, STATE, check_same_tuning
from ..terminal.session import Session
from ..video.reading import save_video
from .ablation_rows import ROWS, Row

FIGURES, SHEET, SOURCE = "ablation.json", "ablation.png", "source.mp4"
_ALIKE = (
    "max_train_steps", "learning_rate", "scale_lr", "lr_scheduler", "lr_warmup_steps", "adam_beta1", "adam_beta2",
    "adam_weight_decay", "adam_epsilon", "max_grad_norm", "mixed_precision", "seed",
)  # fmt: skip
"""Settings that must be the same in all rows, also in those that were tuned earlier."""


@dataclass(frozen=True)
class RowResult:
    """Hold the videos that one row of the ablation rendered."""

    row: Row
    videos: dict[str, Tensor]
    """Frames ``[f, h, w, 3]`` in 0..1, by prompt."""
    seconds: float
    rebuilt: Tensor | None = None
    """The reconstructed clip: sampled from the inverted one with the clip's prompt, without guidance; same shape."""


def run_rows(session: Session, rows: Sequence[Row] = ROWS, rebuild: bool = False) -> Iterator[RowResult]:
    """Render the prompts of ``session`` once per row, with the same clip, seed, steps and guidance.

    The clip is inverted with each row's own network. The checkpoint, the clip's latents and the text embeddings are
    shared; the U-Net must be deflated when this is called, and is deflated after each row. A row's videos, tuned
    weights and losses are written to a subfolder of its name, as the commands write them. Sampling starts from the
    inverted clip, or from noise of the seed if ``validation_data.use_inv_latent`` is false. With ``rebuild`` the clip
    is reconstructed too.

    ``tav study`` can show the folder's rows to raters.

    Yields:
        a result per row, as soon as it is finished; ``{r.row.name: r.videos for r in run_rows(session)}`` has them all.

    Raises:
        ValueError: the clip has no prompt, there is none to render, a setting does not fit the clip, or a row to resume
            was tuned with other settings.
        Interrupted: after Ctrl-C while tuning, when the state has been saved.
    """
    sampling.check_prompts(session)
    if any(row.tuned for row in rows):
        runs.check_before_tuning(session)
    if session.config.resume_from_checkpoint:
        for row in rows:
            if (session.folder / row.name / STATE).exists():
                check_same_tuning(_config_of(row, session), also=_ALIKE)
    save_video(session.folder / SOURCE, session.clip.frames, session.clip.fps)
    for row in rows:
        of_row = session.with_network(_config_of(row, session))
        start = time.perf_counter()
        try:
            if row.tuned:
                runs.tune(of_row)
            else:
                replace(of_row.config, resume_from_checkpoint=None).save(of_row.folder / CONFIG)
            inverted = sampling.invert(of_row) if session.config.validation_data.use_inv_latent else None
            videos = sampling.sample(of_row, inverted)
            rebuilt = reconstruct(of_row) if rebuild else None
        finally:
            of_row.deflate()
        yield RowResult(row, videos, time.perf_counter() - start, rebuilt)


def ablate(session: Session, rows: Sequence[Row] = ROWS, scorers: Scorers | None = None) -> ScoreTable:
    """Render and score every row; write ``ablation.json``, a table, and a contact sheet ``ablation.png``.

    Returns:
        the table, a line per row with the means over its prompts. Rows that start from the inverted clip also get
        scores of its reconstruction.

    Raises:
        Interrupted: after Ctrl-C; the finished rows are kept, and are in the table and the sheet.
    """
    scorers, results, scores = scorers or Scorers(), [], []
    running = run_rows(session, rows, rebuild=session.config.validation_data.use_inv_latent)
    try:
        for number, row in enumerate(rows, start=1):
            tqdm.write(f"Row {number} of {len(rows)}, {row.name}: {row.label}")
            results.append(next(running))
            with session.stage("scoring"):
                scores.append(scorers.of_edits(results[-1].videos, session.clip.frames, session.device))
            table = _write_figures(session, results, scores, scorers.notes)
    except (Interrupted, KeyboardInterrupt) as stopped:
        if results:
            _write_sheet(session, results)
        reason = str(stopped) or "Stopped; the same command with --resume continues."
        raise Interrupted(f"{reason} Finished rows: {', '.join(r.row.name for r in results) or 'none'}.") from None
    _write_sheet(session, results)
    return table


def _config_of(row: Row, session: Session) -> Config:
    return replace(
        session.config,
        attention=row.attention,
        temporal_attention=row.temporal_attention,
        output_dir=str(session.folder / row.name),
        validation_steps=session.config.max_train_steps,  # no videos of unfinished rows
    )


def _write_figures(
    session: Session, results: Sequence[RowResult], scores: Sequence[dict[str, Scores]], notes: Sequence[str]
) -> ScoreTable:
    lines, rows = [], []
    for result, of_row in zip(results, scores):
        mean = mean_scores(list(of_row.values()))
        if result.rebuilt is not None:
            mean |= score_video(VideoResult("", result.rebuilt, source=session.clip.frames, rebuilt=True))
        lines.append(ScoreRow(result.row.label, mean))
        rows.append(result.row._asdict() | {"seconds": round(result.seconds, 1), "mean": mean, "scores": of_row})
    table = ScoreTable(lines, notes)
    figures = {"settings": asdict(session.config), "rows": rows}
    write_text(session.folder / FIGURES, json.dumps(figures, indent=2, ensure_ascii=False))
    table.save(session.folder)
    return table


def _write_sheet(session: Session, results: Sequence[RowResult]) -> None:
    """Write the contact sheet, grouped by prompt."""
    clips, labels = [session.clip.frames], [f"Source: {session.config.train_data.prompt}"]
    for prompt in session.config.validation_data.prompts:
        for result in results:
            clips.append(result.videos[prompt])
            labels.append(f"{prompt} · {result.row.label}")
    contact_sheet(session.folder / SHEET, clips, labels)

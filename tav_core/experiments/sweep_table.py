"""Write the table of a sweep as text, as CSV (a line per video) and as JSON."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

from ..files import write_text
from ..text_table import text_table

TABLE = "sweep"
"""Stem of the three files."""


@dataclass(frozen=True)
class Outcome:
    """Hold the result of one item of a sweep."""

    name: str
    error: str = ""
    """One sentence; empty when the item is finished."""
    seconds: float = 0.0
    loss: float | None = None
    """Mean over the last tenth of the tuning steps; a single step's loss depends mostly on its timestep."""
    kinds: dict[str, str] = field(default_factory=dict)
    """Kind of edit by prompt, if the benchmark names it."""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """Scores by prompt; a prompt without any has an empty entry."""


def write_tables(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Write ``sweep.txt``, ``sweep.csv`` and ``sweep.json``; warn about one that another program has open."""
    figures = json.dumps([asdict(outcome) for outcome in outcomes], indent=2, ensure_ascii=False)
    for ending, text in (("txt", as_text(outcomes)), ("csv", as_csv(outcomes)), ("json", figures)):
        file = folder / f"{TABLE}.{ending}"
        try:
            write_text(file, text)
        except PermissionError as error:
            warnings.warn(
                f"{file} could not be written ({error.strerror}): close the program that has it open.", stacklevel=2
            )


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Format a line per item with the means over its prompts, then the means over all videos and by kind of edit."""
    columns = _columns(outcomes)
    lines, errors = [["", "seconds", "loss", *columns]], [outcome.error for outcome in outcomes]
    for outcome in outcomes:
        loss = "" if outcome.loss is None else f"{outcome.loss:.4f}"
        means = _means(list(outcome.scores.values()), columns)
        lines.append([outcome.name, f"{outcome.seconds:.1f}", loss, *means])
    videos = [(o.kinds.get(prompt, ""), scores) for o in outcomes for prompt, scores in o.scores.items()]
    if columns:
        for kind in dict.fromkeys(kind for kind, _ in videos if kind):
            lines.append([f"mean, {kind}", "", "", *_means([s for k, s in videos if k == kind], columns)])
        lines.append(["mean", "", "", *_means([s for _, s in videos], columns)])
    remarks = ["", *errors] + [""] * (len(lines) - 1 - len(errors))
    failed = sum(map(bool, errors))
    return "\n".join([*text_table(lines, remarks), "", f"{len(outcomes) - failed} finished, {failed} failed", ""])


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """Format a line per item and prompt; a failed item has one line, with its error."""
    columns = _columns(outcomes)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["item", "kind", "prompt", "seconds", "loss", *columns, "error"])
    for o in outcomes:
        for prompt, scores in (o.scores or {"": {}}).items():
            values = [scores.get(column, "") for column in columns]
            loss = "" if o.loss is None else o.loss
            writer.writerow([o.name, o.kinds.get(prompt, ""), prompt, o.seconds, loss, *values, o.error])
    return table.getvalue()


def _columns(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(name for o in outcomes for scores in o.scores.values() for name in scores))


def _means(videos: Sequence[dict[str, float]], columns: Sequence[str]) -> list[str]:
    values = [[scores[column] for scores in videos if column in scores] for column in columns]
    return [f"{fmean(v):.2f}" if v else "" for v in values]

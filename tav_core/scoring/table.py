"""Show the scores of several videos as text, as JSON, and as a picture."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files import replacing, write_text
from ..pictures.table import draw_table
from ..text_table import text_table

_TITLES = {
    "frame_consistency": "frame\nconsistency",
    "consecutive_consistency": "consecutive\nframes",
    "textual_alignment": "textual\nalignment",
    "pick_score": "PickScore",
    "motion_fidelity": "motion\nfidelity",
    "motion_overlap": "motion\noverlap",
    "steadiness": "steadiness\nin dB",
    "psnr": "PSNR\nin dB",
    "ssim": "SSIM",
}
_DIGITS = {"ssim": 4}


@dataclass(frozen=True)
class ScoreRow:
    """Hold one video's scores by name; higher is better for each."""

    name: str
    scores: dict[str, float]
    prompt: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """Hold a row per video. Videos may have different scores; ``notes`` say what could not be measured."""

    rows: Sequence[ScoreRow]
    notes: Sequence[str] = ()

    @property
    def columns(self) -> list[str]:
        """Return the names of the scores that any row has, in the order of the table: known ones first."""
        there = dict.fromkeys(name for row in self.rows for name in row.scores)
        return [name for name in _TITLES if name in there] + [name for name in there if name not in _TITLES]

    def figure(self, row: ScoreRow, column: str) -> str:
        """Format a score; "-" for a missing one."""
        if column not in row.scores:
            return "-"
        return f"{row.scores[column]:.{_DIGITS.get(column, 2)}f}"

    def best(self, column: str) -> list[ScoreRow]:
        """Return the rows with the highest figure of a column, several if they are equal; none if all are."""
        scored = [row for row in self.rows if column in row.scores]
        highest = self.figure(max(scored, key=lambda row: row.scores[column]), column)
        best = [row for row in scored if self.figure(row, column) == highest]
        return best if len(best) < len(scored) else []

    def text(self) -> str:
        """Format as text: a line per row, a star at the best value of each column, and the notes."""
        upper, lower = zip(("", ""), *(_title_lines(column) for column in self.columns))
        titles = [[f"{line} " for line in upper], [f"{line} " for line in lower]]  # above the star of a figure
        table = titles if self.columns else []
        for row in self.rows:
            stars = ["*" if row in self.best(column) else " " for column in self.columns]
            table.append((row.name, *(self.figure(row, c) + star for c, star in zip(self.columns, stars))))
        lines = text_table(table)
        if any("*" in line for line in lines[2:]):
            lines.append("* best of its column")
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def json(self) -> str:
        """Format as JSON: ``{"results": [{"name", "prompt", "scores", "best"}], "notes"}``, ``best`` naming columns.

        An infinite value (the PSNR of equal videos) is the string "inf", which JSON has no number for.
        """
        results = [
            {
                "name": row.name,
                "prompt": row.prompt,
                "scores": {
                    column: "inf" if math.isinf(row.scores[column]) else round(row.scores[column], 6)
                    for column in self.columns
                    if column in row.scores
                },
                "best": [column for column in self.columns if row in self.best(column)],
            }
            for row in self.rows
        ]
        return json.dumps({"results": results, "notes": list(self.notes)}, indent=2, ensure_ascii=False)

    def image(self) -> Tensor:
        """Draw as a picture ``[h, w, 3]``, float 0 to 1, the best value of each column on a coloured field."""
        return torch.from_numpy(np.asarray(self._picture(), np.float32) / 255)

    def save(self, folder: str | os.PathLike) -> None:
        """Write ``scores.json`` and ``scores.png`` into a folder, which is created if missing."""
        write_text(Path(folder) / "scores.json", self.json())
        with replacing(Path(folder) / "scores.png") as partial:
            self._picture().save(partial, format="PNG")

    def _picture(self) -> Image.Image:
        lines = [
            (row.name, [(self.figure(row, column), row in self.best(column)) for column in self.columns])
            for row in self.rows
        ]
        return draw_table([_title_lines(column) for column in self.columns], lines, self.notes)


def title(column: str) -> str:
    """Return the title of a score in one line."""
    return " ".join(line for line in _title_lines(column) if line)


def _title_lines(column: str) -> tuple[str, str]:
    """Return the two lines of a column title; the upper one may be empty."""
    upper, _, lower = _TITLES.get(column, column.replace("_", "\n", 1).replace("_", " ")).rpartition("\n")
    return upper, lower

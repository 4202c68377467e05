"""Evaluate the answers of a study, and draw a conclusion only where they support it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import write_text
from ..text_table import text_table
from .answers import FILE, QUESTIONS, Answer, read_answers
from .statistics import krippendorff_alpha, raw_agreement, wilson_interval

REPORT = "report.json"
CONFIDENCE = 0.95
LEAST_ANSWERS, LEAST_RATERS = 20, 3
"""No conclusion is drawn from fewer."""

_LONGEST_LABEL = 48
_NOTE = f"""\
"prefer" is the share of answers that prefer the system named first; the interval is Wilson's, each row on its own,
and takes answers as independent. "agree" is the share of pairs of raters of the same videos who chose the same, alpha
is Krippendorff's (1: always, 0: as by chance, -: undefined). A preference is concluded from at least
{LEAST_ANSWERS} answers of at least {LEAST_RATERS} raters, and only where the interval leaves 50% out."""


@dataclass(frozen=True)
class Comparison:
    """Hold how often ``first`` was preferred to ``second``, over all clips or one (``clip``, ``prompt``).

    Attributes:
        question: a key of QUESTIONS.
        answers, raters: numbers of answers and of raters.
        preferring_first: answers that prefer ``first``; ``rate`` is their share, in 0..1.
        low, high: ends of the Wilson interval of the rate.
        shared: clips that several raters judged, over which the next two are computed (None if undefined).
        agreement: :func:`raw_agreement`.
        alpha: :func:`krippendorff_alpha`.
        preferred: the system that is concluded to be preferred; None without a conclusion.
        conclusion: the same as text, or why there is none.
    """

    question: str
    first: str
    second: str
    clip: str | None
    prompt: str | None
    answers: int
    raters: int
    preferring_first: int
    rate: float
    low: float
    high: float
    shared: int
    agreement: float | None
    alpha: float | None
    preferred: str | None
    conclusion: str


def write_report(folder: str | os.PathLike) -> str:
    """Evaluate the answers in a folder of results: write ``report.json`` there, and return the table as text.

    Raises:
        FileNotFoundError: there are no answers yet.
        ValueError: a line of the file is not an answer.
    """
    folder = Path(folder)
    answers = read_answers(folder / FILE)
    if not answers:
        raise FileNotFoundError(f"There are no answers in {folder / FILE} yet: 'tav study {folder}' asks for them.")
    rows = compare(answers)
    raters = sorted({answer.rater for answer in answers})
    left = sum(answer.preferred == answer.left for answer in answers)
    values = {
        "answers": len(answers),
        "raters": {rater: sum(answer.rater == rater for answer in answers) for rater in raters},
        "left_preferred": left / len(answers),
        "rule": {"confidence": CONFIDENCE, "least_answers": LEAST_ANSWERS, "least_raters": LEAST_RATERS},
        "comparisons": [asdict(row) for row in rows],
    }
    write_text(folder / REPORT, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    people = "1 rater" if len(raters) == 1 else f"{len(raters)} raters"
    summary = f"{len(answers)} answers of {people}; the video at the left was preferred in {left / len(answers):.0%}."
    return "\n\n".join([summary, *_tables(rows), _NOTE, f"The same figures are in {folder / REPORT}."])


def compare(answers: Sequence[Answer]) -> list[Comparison]:
    """Make a comparison for each question and pair of systems, followed by one for each of its clips."""
    rows = []
    for question in QUESTIONS:
        of_question = [answer for answer in answers if answer.question == question]
        for first, second in sorted({tuple(sorted((answer.left, answer.right))) for answer in of_question}):
            of_pair = [answer for answer in of_question if {answer.left, answer.right} == {first, second}]
            rows.append(_comparison(of_pair, first, second))
            for clip in sorted({answer.clip for answer in of_pair}):
                of_clip = [answer for answer in of_pair if answer.clip == clip]
                rows.append(_comparison(of_clip, first, second, clip, of_clip[-1].prompt))
    return rows


def _comparison(
    answers: Sequence[Answer], first: str, second: str, clip: str | None = None, prompt: str | None = None
) -> Comparison:
    choices: dict[str, list[str]] = {}
    for answer in answers:
        choices.setdefault(answer.clip, []).append(answer.preferred)
    raters, wins = len({answer.rater for answer in answers}), sum(answer.preferred == first for answer in answers)
    low, high = wilson_interval(wins, len(answers), CONFIDENCE)
    preferred, conclusion = None, "no preference shown"
    if len(answers) < LEAST_ANSWERS:
        conclusion = f"too few answers ({len(answers)} of {LEAST_ANSWERS})"
    elif raters < LEAST_RATERS:
        conclusion = f"too few raters ({raters} of {LEAST_RATERS})"
    elif not low <= 0.5 <= high:
        preferred = first if low > 0.5 else second
        conclusion = f"{preferred} is preferred"
    return Comparison(
        question=answers[0].question,
        first=first,
        second=second,
        clip=clip,
        prompt=prompt,
        answers=len(answers),
        raters=raters,
        preferring_first=wins,
        rate=wins / len(answers),
        low=low,
        high=high,
        shared=sum(len(values) > 1 for values in choices.values()),
        agreement=raw_agreement(choices.values()),
        alpha=krippendorff_alpha(choices.values()),
        preferred=preferred,
        conclusion=conclusion,
    )


def _tables(rows: Sequence[Comparison]) -> list[str]:
    """Format one table per question."""
    tables = []
    for question, text in QUESTIONS.items():
        of_question = [row for row in rows if row.question == question]
        if of_question:
            lines = [(text, "answers", "raters", "prefer", "95% interval", "agree", "alpha")]
            lines += [(_label(row, rows), *_figures(row)) for row in of_question]
            tables.append("\n".join(text_table(lines, ["", *(row.conclusion for row in of_question)])))
    return tables


def _label(row: Comparison, rows: Iterable[Comparison]) -> str:
    """Label a row with its systems or, indented, its prompt, with the clip's name if several share the prompt."""
    if row.clip is None:
        return f"{row.first} vs {row.second}"
    shared = any(other.prompt == row.prompt and other.clip != row.clip for other in rows)
    label = f"  {row.clip}: {row.prompt}" if shared else f"  {row.prompt}"
    return label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"


def _figures(row: Comparison) -> tuple[str, ...]:
    return (
        str(row.answers),
        str(row.raters),
        f"{row.rate:.1%}",
        f"{row.low:.1%} to {row.high:.1%}",
        "-" if row.agreement is None else f"{row.agreement:.0%}",
        "-" if row.alpha is None else f"{row.alpha:.2f}",
    )

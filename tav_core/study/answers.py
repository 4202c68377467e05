"""Store raters' answers in an append-only file of one JSON object per line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..files import parse_json

FILE = "answers.jsonl"
"""The file's name in the folder of results."""

QUESTIONS = {"quality": "Which has the better quality?", "text": "Which fits the text better?"}
"""The two questions of the paper, asked of each pair in this order."""


@dataclass(frozen=True)
class Answer:
    """Record that ``rater``, shown the videos of two systems left and right, preferred that of ``preferred``.

    Attributes:
        time: when, in UTC, as ISO 8601.
        rater: the rater's name, in lower case.
        clip, prompt: name and prompt of what both systems rendered.
        question: a key of :data:`QUESTIONS`.
        left, right, preferred: systems; ``preferred`` is one of the other two.
    """

    time: str
    rater: str
    clip: str
    prompt: str
    question: str
    left: str
    right: str
    preferred: str

    @property
    def subject(self) -> tuple[str, str, str, tuple[str, ...]]:
        """Identify rater and question: equal for an answer that replaces an earlier one."""
        return subject(self.rater, self.question, self.clip, self.left, self.right)


def subject(rater: str, question: str, clip: str, *systems: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Identify the rater and question of an answer, whichever of the two systems is at the left."""
    return rater, question, clip, tuple(sorted(systems))


def read_answers(path: str | os.PathLike) -> list[Answer]:
    """Read the answers in the file, the last one if a rater changed their mind; none if the file is missing.

    An incomplete last line is ignored.

    Raises:
        ValueError: another line is not an answer.
    """
    path = Path(path)
    if not path.exists():
        return []
    latest: dict[tuple, Answer] = {}
    for answer in _whole(path, path.read_bytes().split(b"\n")):
        latest.pop(answer.subject, None)
        latest[answer.subject] = answer
    return list(latest.values())


class AnswerLog:
    """Append answers to a file, each with one write that is on the disk before :meth:`append` returns.

    Opening it removes an incomplete last line that a crash left.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        if self.path.exists():
            self._mend()

    def append(self, answer: Answer) -> None:
        """Store an answer.

        Raises:
            OSError: it could not be written; the file is unchanged.
        """
        line = (json.dumps(asdict(answer), ensure_ascii=False) + "\n").encode()
        with self._lock, self.path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(f"The disk is full: the answer could not be written to {self.path}.")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise

    def _mend(self) -> None:
        with self.path.open("r+b") as file:
            content = file.read()
            end = content.rfind(b"\n") + 1
            if end == len(content):
                return
            if _parse(content[end:]):
                file.write(b"\n")
            else:
                file.truncate(end)
            file.flush()
            os.fsync(file.fileno())


def _whole(path: Path, lines: list[bytes]) -> Iterator[Answer]:
    for number, line in enumerate(lines, start=1):
        answer = _parse(line)
        if answer:
            yield answer
        elif line.strip() and number < len(lines):
            raise ValueError(f"Line {number} of {path} is not an answer of this study: correct or remove it.")


def _parse(line: bytes) -> Answer | None:
    try:
        values = parse_json(line)
        answer = Answer(**{field.name: values[field.name] for field in fields(Answer)})
    except (ValueError, LookupError, TypeError):
        return None
    if not all(isinstance(value, str) for value in asdict(answer).values()):
        return None
    fits = answer.question in QUESTIONS and answer.preferred in (answer.left, answer.right)
    return answer if fits else None

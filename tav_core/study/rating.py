"""Choose what each rater is shown and in which order, without revealing which system made it."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from itertools import combinations
from pathlib import Path

from ..errors import check_text
from ..files import scratch_folder
from .answers import FILE, QUESTIONS, Answer, AnswerLog, read_answers, subject
from .folder import Clip, Results
from .playable import playable

LONGEST_NAME = 60


@dataclass(frozen=True)
class Question:
    """Hold one question (``kind``, a key of QUESTIONS) to one rater about two systems' videos of a clip."""

    rater: str
    clip: Clip
    left: str
    right: str
    kind: str

    @property
    def subject(self) -> tuple[str, str, str, tuple[str, ...]]:
        return subject(self.rater, self.kind, self.clip.name, self.left, self.right)


class UnknownName(LookupError):
    """Report an id of a question or a video that this process did not give out: the study was restarted since."""


class Study:
    """Ask every rater the questions of a study, and append the answers to ``answers.jsonl`` in the folder of results.

    The rater's name decides the order of the pairs and which system is at the left; both stay the same when the study
    is restarted, or clips or systems are added. Videos and questions have random ids that differ each time the study is
    started. Videos that a browser cannot play are converted first.

    Raises:
        ValueError: a video cannot be read, or a line of the file is not an answer.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.log = AnswerLog(results.folder / FILE)
        self._preferred = {answer.subject: answer.preferred for answer in read_answers(self.log.path)}
        self._salt = secrets.token_hex()
        self._scratch = ExitStack()
        converted = self._scratch.enter_context(scratch_folder(Path(tempfile.gettempdir()), ".tav-study"))
        paths = {path for clip in results.clips for path in (clip.source, *clip.videos.values()) if path}
        self._videos = {self._opaque(path): playable(path, converted) for path in paths}

    def close(self) -> None:
        """Remove the converted videos."""
        self._scratch.close()

    def video(self, name: str) -> Path:
        """Return the file of a video id from :meth:`question`.

        Raises:
            UnknownName: the id is unknown.
        """
        if name not in self._videos:
            raise UnknownName("This video is unknown, because the study was restarted: reload the page.")
        return self._videos[name]

    def question(self, rater: str, number: int | None = None) -> dict:
        """Return the question of that number (from 0), or the first that the rater has not answered, for the page.

        Returns:
            ``total`` and ``answered``, and unless all are answered (or ``number`` is none of theirs): ``number``,
            ``id``, ``kind`` (a key of QUESTIONS), ``question``, ``prompt``, ``left``, ``right`` and ``source`` (names
            for :meth:`video`; no source: None), and ``chosen`` ("left", "right" or None).

        Raises:
            ValueError: the name of the rater is empty or too long.
        """
        questions = self.questions(rater)
        preferred = [self._preferred.get(question.subject) for question in questions]
        state = {"total": len(questions), "answered": len(questions) - preferred.count(None)}
        if number is None:
            number = preferred.index(None) if None in preferred else len(questions)
        if not 0 <= number < len(questions):
            return state
        question = questions[number]
        clip, sides = question.clip, {question.left: "left", question.right: "right"}
        return state | {
            "number": number,
            "id": self._id(question),
            "kind": question.kind,
            "question": QUESTIONS[question.kind],
            "prompt": clip.prompt,
            "left": self._opaque(clip.videos[question.left]),
            "right": self._opaque(clip.videos[question.right]),
            "source": self._opaque(clip.source) if clip.source else None,
            "chosen": sides.get(preferred[number]),
        }

    def answer(self, rater: str, id: str, choice: str) -> None:
        """Store the choice, "left" or "right", on the question ``id`` of :meth:`question`.

        Raises:
            UnknownName: this process did not ask that question.
            ValueError: the choice is neither, or the rater has no name.
            OSError: the answer could not be written.
        """
        if choice not in ("left", "right"):
            raise ValueError(f"The choice is {choice!r}, but must be left or right.")
        question = next((question for question in self.questions(rater) if self._id(question) == id), None)
        if question is None:
            raise UnknownName("The study was restarted since it asked this: please answer once more.")
        answer = Answer(
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            rater=question.rater,
            clip=question.clip.name,
            prompt=question.clip.prompt,
            question=question.kind,
            left=question.left,
            right=question.right,
            preferred=getattr(question, choice),
        )
        self.log.append(answer)
        self._preferred[answer.subject] = answer.preferred

    @property
    def total(self) -> int:
        """Return the number of questions to each rater."""
        systems = len(self.results.systems)
        return len(self.results.clips) * systems * (systems - 1) // 2 * len(QUESTIONS)

    def questions(self, rater: str) -> list[Question]:
        """Return all questions to a rater in their order: both of a pair, then those of the next."""
        rater, pairs = rater_name(rater), []
        for clip in self.results.clips:
            for systems in combinations(self.results.systems, 2):
                chance = sha256("\n".join((rater, clip.name, *systems)).encode()).digest()
                pairs.append((chance, clip, *(systems if chance[-1] % 2 else systems[::-1])))
        pairs.sort(key=lambda pair: pair[0])
        return [Question(rater, *pair, kind) for _, *pair in pairs for kind in QUESTIONS]

    def _id(self, question: Question) -> str:
        return self._opaque(*question.subject)

    def _opaque(self, *parts: object) -> str:
        return sha256("\n".join((self._salt, *map(str, parts))).encode()).hexdigest()[:20]


def rater_name(name: str) -> str:
    """Normalise a rater's name: lower case, single spaces.

    Raises:
        ValueError: it is empty or too long.
    """
    name = check_text(" ".join(name.split()).casefold(), "The name")
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"Give a name of 1 to {LONGEST_NAME} characters, so that you can continue later.")
    return name
